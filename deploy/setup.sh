#!/usr/bin/env bash
# Installs Oviya into a virtual environment: `setup.sh run` for the mesh, `setup.sh dev` with what the tests need,
# `setup.sh whisperx` for speech-to-text with WhisperX and its tests (in an environment of its own).
# Does nothing, quickly, when nothing changed since the last time.
set -euo pipefail
cd "$(dirname "$0")/.."

MODE=${1:-run}
VENV=${VENV:-.venv}
PYTHON=${PYTHON:-python3.11}
TORCH=$(sed -n 's/.*"\(torch==[0-9.]*\)".*/\1/p' pyproject.toml | head -n 1)

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
has_gpu() { [ -e /dev/nvidiactl ]; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# apt PACKAGE...: installs Debian packages where this user may, else says what to install.
apt_install() {
  [ $# = 0 ] && return
  say "installing with apt: $*"
  if command -v apt-get >/dev/null && as_root true 2>/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq &&
      as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null && return
  fi
  die "please install these packages, then run this again: $*"
}

# The virtual environment needs Debian's python3-venv where Python is Debian's own.
make_venv() {
  [ -x "$VENV/bin/python" ] && return
  command -v "$PYTHON" >/dev/null || PYTHON=python3
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"
  "$PYTHON" -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
  say "making the virtual environment $VENV"
  "$PYTHON" -m venv "$VENV"
}

pip() { "$VENV/bin/python" -m pip --disable-pip-version-check "$@"; }

# Without a GPU no CUDA package may come: pip is asked first what torch would bring.
install_torch() {
  "$VENV/bin/python" -c "import importlib.metadata as m; assert m.version('torch').split('+')[0] == '${TORCH#*==}'" \
    2>/dev/null && return
  local index=(${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"})
  if ! has_gpu && pip install -q --dry-run --report - "${index[@]}" "$TORCH" 2>/dev/null | grep -qiE '"name": "(nvidia|triton)'; then
    die "pip would install torch with gigabytes of CUDA packages, and this machine has no GPU.
Set TORCH_INDEX_URL to PyTorch's index of CPU wheels (the install page of pytorch.org names it), or put a CPU wheel of
$TORCH into a folder and set PIP_FIND_LINKS to it; then run this again."
  fi
  say "installing $TORCH"
  pip install -q "${index[@]}" "$TORCH"
}

install_python_packages() {
  local extra=$1 stamp="$VENV/.oviya-$1"
  local wanted; wanted=$(cat pyproject.toml requirements/silero.txt "$0" | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  pip install -q --upgrade 'pip>=24'
  install_torch
  say "installing Oviya [$extra]"
  pip install -q -e ".[$extra]"
  pip install -q --no-deps -r requirements/silero.txt
  echo "$wanted" >"$stamp"
}

# WhisperX asks for an older torch than it needs, so it comes without its dependencies (requirements/whisperx.txt).
install_whisperx() {
  local stamp="$VENV/.oviya-whisperx"
  local wanted; wanted=$(cat pyproject.toml requirements/*.txt "$0" | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  pip install -q --upgrade 'pip>=24'
  install_torch
  say "installing WhisperX"
  pip install -q -e ".[stt]" -r requirements/whisperx.txt "$TORCH" 'pytest>=9.2,<10' 'pytest-asyncio>=1.5,<2' 'pytest-timeout>=2.4'
  pip install -q --no-deps -r requirements/silero.txt -r requirements/whisperx-alone.txt
  # torchaudio's native library is built for CUDA and does not load without it; nothing here needs it.
  has_gpu || find "$VENV" -path '*/torchaudio/*' -name '*.so' -delete
  echo "$wanted" >"$stamp"
}

install_test_tools() {
  local missing=()
  command -v chromium >/dev/null || missing+=(chromium)
  command -v flite >/dev/null || missing+=(flite)
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  command -v redis-server >/dev/null || missing+=(redis-server)
  fc-list 2>/dev/null | grep -q . || missing+=(fontconfig fonts-dejavu-core)
  # Playwright's driver is a Node.js of its own, linked against this.
  compgen -G "/usr/lib/*/libatomic.so.1" >/dev/null || missing+=(libatomic1)
  apt_install "${missing[@]}"
  if [ ! -d build/node/node_modules/@grpc/grpc-js ]; then
    say "installing the Node.js client of the interoperability test"
    npm install --silent --no-fund --no-audit --prefix build/node @grpc/grpc-js@1.14.7 @grpc/proto-loader@0.8.1
  fi
}

make_venv
case $MODE in
  run) install_python_packages all ;;
  dev) install_python_packages all,dev; install_test_tools ;;
  whisperx) install_whisperx ;;
  *) die "usage: setup.sh run|dev|whisperx" ;;
esac
