#!/usr/bin/env bash
# Downloads a CPU wheel of torch to deploy/docker/wheels, if this machine's pip finds one: `wheels.sh PYTHON`.
# Images that are built without it get the CPU build from PyTorch's index, through uv.
set -euo pipefail
PYTHON=$1
cd "$(dirname "$0")/../.."
torch=$(sed -n 's/.*"\(torch==[0-9.]*\)".*/\1/p' pyproject.toml | head -n 1)
compgen -G "deploy/docker/wheels/${torch/==/-}*.whl" >/dev/null && exit
# Check first, so that no CUDA build is downloaded needlessly.
"$PYTHON" -c 'import sys; from deploy.install import ask_pip; offer, _ = ask_pip(sys.argv[1]); sys.exit(not offer or offer.kind != "CPU")' "$torch" || exit 0
"$PYTHON" -m pip download -q --no-deps -d deploy/docker/wheels "$torch"
