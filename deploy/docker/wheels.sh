#!/usr/bin/env bash
# Puts the CPU wheel of torch where the images look for it, when this machine's pip finds one: `wheels.sh PYTHON`.
# Images built without it take what the index offers, CUDA packages included.
set -euo pipefail
PYTHON=$1
cd "$(dirname "$0")/../.."
torch=$(sed -n 's/.*"\(torch==[0-9.]*\)".*/\1/p' pyproject.toml | head -n 1)
compgen -G "deploy/docker/wheels/${torch/==/-}*.whl" >/dev/null && exit
"$PYTHON" -m pip download -q --no-deps -d deploy/docker/wheels ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "$torch"
if compgen -G "deploy/docker/wheels/*cpu*.whl" >/dev/null; then exit; fi
rm -f deploy/docker/wheels/*.whl
echo "no CPU wheel of torch was found; set TORCH_INDEX_URL to make the images smaller" >&2
