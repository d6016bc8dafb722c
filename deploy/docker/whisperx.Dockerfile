# Speech-to-text with WhisperX: `docker build -f deploy/docker/whisperx.Dockerfile .` (compose.whisperx.yaml does it).
# No weights are in the image: mount a folder with them, or allow their download.

FROM python:3.11-slim AS build
# Where pip finds the build of torch for the machine; empty: the configured index, which offers the CUDA build.
ARG TORCH_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 PIP_FIND_LINKS=/wheels
RUN python -m venv /opt/oviya
ENV PATH=/opt/oviya/bin:$PATH
COPY deploy/docker/wheels/ /wheels/
COPY pyproject.toml requirements/ deploy/docker/dependencies.py /build/
# Dependencies before the code: a change of the code then builds in seconds.
RUN torch=$(sed -n 's/.*"\(torch==[0-9.]*\)".*/\1/p' /build/pyproject.toml | head -n 1) \
 && pip install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "$torch" \
 && python /build/dependencies.py /build/pyproject.toml stt > /build/requirements.txt \
 && pip install -r /build/requirements.txt -r /build/whisperx.txt "$torch" \
 && pip install --no-deps -r /build/silero.txt -r /build/whisperx-alone.txt
# torchaudio's native library is built for CUDA and does not load without it; nothing here needs it.
RUN python -c 'import sys, torch; sys.exit(torch.version.cuda is not None)' \
 && find /opt/oviya -path '*/torchaudio/*' -name '*.so' -delete || true
COPY . /src
RUN pip install --no-deps /src

FROM python:3.11-slim
# Matplotlib, which comes with pyannote, keeps its fonts in the home folder.
ENV PATH=/opt/oviya/bin:$PATH PYTHONUNBUFFERED=1 GRPC_VERBOSITY=ERROR STT_BACKEND=whisperx HOME=/tmp
# The base image ships its library without bytecode, and nobody can write it later: every health check would compile.
RUN python -m compileall -q -x '/(test|idlelib|lib2to3|site-packages)/' "$(python -c 'import os; print(os.path.dirname(os.__file__))')"
COPY --from=build /opt/oviya /opt/oviya
# A new volume takes the owner of the folder that it covers: what is downloaded is kept here.
RUN install -d -o 10001 -g 10001 /models
USER 10001:10001
WORKDIR /tmp
CMD ["python", "-m", "services.stt"]
