# Speech-to-text with WhisperX: `docker build -f deploy/docker/whisperx.Dockerfile .` (or use compose.whisperx.yaml).
# The image contains the weights of Whisper tiny.en: for other models mount a folder, or allow their download.
# For pinning the base image by its digest, see deploy/docker/Dockerfile.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
# The build of torch: cpu, or for a GPU e.g. cu130.  Wheels in deploy/docker/wheels take precedence.
ARG TORCH_BACKEND=cpu
# For speech-to-text on a GPU: cuda.
ARG CUDA_LOCK=
ENV PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 PIP_FIND_LINKS=/wheels
RUN python -m venv /opt/oviya
ENV PATH=/opt/oviya/bin:$PATH
COPY deploy/docker/wheels/ /wheels/
COPY pyproject.toml /build/
COPY requirements/ /build/requirements/
COPY deploy/*.py /build/deploy/
WORKDIR /build
# Dependencies come before the code, so that a change of the code builds in seconds.
RUN python -m deploy.install --extras stt --locks "whisperx${CUDA_LOCK:+,$CUDA_LOCK}" --with-torch --torch-backend "$TORCH_BACKEND"
# torchaudio's native library is built for CUDA and does not load without it; it is not needed.
RUN python -c 'import sys, torch; sys.exit(torch.version.cuda is not None)' \
 && find /opt/oviya -path '*/torchaudio/*' -name '*.so' -delete || true
COPY . /src
RUN pip install --no-deps --no-build-isolation /src && mkdir /opt/oviya/work

FROM ${PYTHON_IMAGE}
# Matplotlib, a dependency of pyannote, caches fonts in the home folder.
# PYTHONSAFEPATH: modules are not imported from the working directory.
ENV PATH=/opt/oviya/bin:$PATH PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 GRPC_VERBOSITY=ERROR MALLOC_ARENA_MAX=2 STT_BACKEND=whisperx HOME=/tmp
# The base image has no bytecode, and the service cannot write it: every health check would compile the library.
RUN python -m compileall -q -x '/(test|idlelib|lib2to3|site-packages)/' "$(python -c 'import os; print(os.path.dirname(os.__file__))')"
COPY --from=build /opt/oviya /opt/oviya
# A new volume gets the owner of the folder that it is mounted on: downloads are stored here.
RUN install -d -o 10001 -g 10001 /models
USER 10001:10001
# Owned by root, so that the service cannot write there.
WORKDIR /opt/oviya/work
CMD ["python", "-m", "services.stt"]
