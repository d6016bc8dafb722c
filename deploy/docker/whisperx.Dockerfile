# Speech-to-text with WhisperX: `docker build -f deploy/docker/whisperx.Dockerfile .` (compose.whisperx.yaml does it).
# No weights are in the image: mount a folder with them, or allow their download.
# deploy/docker/Dockerfile says how to pin the base image by its digest.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
# The build of torch: cpu, or cu130 and the like for a GPU.  Wheels put into deploy/docker/wheels come first.
ARG TORCH_BACKEND=cpu
ENV PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 PIP_FIND_LINKS=/wheels
RUN python -m venv /opt/oviya
ENV PATH=/opt/oviya/bin:$PATH
COPY deploy/docker/wheels/ /wheels/
COPY pyproject.toml /build/
COPY requirements/ /build/requirements/
COPY deploy/*.py /build/deploy/
WORKDIR /build
# Dependencies before the code: a change of the code then builds in seconds.
RUN python -m deploy.install --extras stt --locks whisperx --with-torch --torch-backend "$TORCH_BACKEND"
# torchaudio's native library is built for CUDA and does not load without it; nothing here needs it.
RUN python -c 'import sys, torch; sys.exit(torch.version.cuda is not None)' \
 && find /opt/oviya -path '*/torchaudio/*' -name '*.so' -delete || true
COPY . /src
RUN pip install --no-deps --no-build-isolation /src && mkdir /opt/oviya/work

FROM ${PYTHON_IMAGE}
# Matplotlib, which comes with pyannote, keeps its fonts in the home folder.
# PYTHONSAFEPATH: the working directory is no place that modules are imported from.
ENV PATH=/opt/oviya/bin:$PATH PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 GRPC_VERBOSITY=ERROR MALLOC_ARENA_MAX=2 STT_BACKEND=whisperx HOME=/tmp
# The base image ships its library without bytecode, and nobody can write it later: every health check would compile.
RUN python -m compileall -q -x '/(test|idlelib|lib2to3|site-packages)/' "$(python -c 'import os; print(os.path.dirname(os.__file__))')"
COPY --from=build /opt/oviya /opt/oviya
# A new volume takes the owner of the folder that it covers: what is downloaded is kept here.
RUN install -d -o 10001 -g 10001 /models
USER 10001:10001
# A folder of root's: the service cannot write there.
WORKDIR /opt/oviya/work
CMD ["python", "-m", "services.stt"]
