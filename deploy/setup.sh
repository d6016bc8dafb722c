#!/usr/bin/env bash
# Installs Oviya into a virtual environment: `setup.sh run` for the mesh, `setup.sh dev` with the requirements of the
# tests, `setup.sh whisperx` for speech-to-text with WhisperX and its tests (in a separate environment), `setup.sh lock`
# to update requirements/*.lock.  Returns at once if nothing changed since the last time.
#
# Variables: PYTHON (the Python to use), VENV (the environment), OVIYA_TORCH_BACKEND (the build of torch; see
# deploy/install.py).
set -euo pipefail
cd "$(dirname "$0")/.."

MODE=${1:-run}
VENV=${VENV:-.venv}
if [ "${VENV#/}" = "$VENV" ]; then VENV=$PWD/$VENV; fi
OS_RELEASE=${OS_RELEASE:-/etc/os-release}
HUMAN_SPEECH=${HUMAN_SPEECH:-/usr/share/asterisk/sounds/en_US_f_Allison}

say() { if [ -t 2 ]; then printf '\033[1m%s\033[0m\n' "$*" >&2; else printf '%s\n' "$*" >&2; fi; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# Ubuntu's package `chromium-browser` is a snap, which cannot read the files of the tests.
is_ubuntu() { grep -qsE '^ID(_LIKE)?=.*ubuntu' "$OS_RELEASE"; }

# apt_install PACKAGE...: installs Debian or Ubuntu packages if the user may; otherwise prints what to install.
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

# runs PYTHON CODE: whether that Python exists and the code succeeds.
runs() { command -v "$1" >/dev/null && "$1" -c "$2" >/dev/null 2>&1; }

# Prints the first suitable Python.  The project is developed with 3.11; newer versions work as well.
find_python() {
  local candidates=(python3.11 python3.12 python3.13 python3) each
  if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
  for each in "${candidates[@]}"; do
    if runs "$each" "import sys, $1; sys.exit(sys.version_info < (3, 11))"; then echo "$each"; return; fi
  done
  return 1
}

# With the Python of Debian or Ubuntu, a virtual environment needs the package python3.x-venv.
make_venv() {
  [ -x "$VENV/bin/python" ] && return
  local python
  if ! python=$(find_python 'venv, ensurepip'); then
    python=$(find_python venv) ||
      die "Python 3.11 or newer is needed${PYTHON:+, and $PYTHON is not one}; install python3.11, python3.12 or python3.13, or set PYTHON=/path/to/python"
    apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  fi
  say "making the virtual environment $VENV with $("$python" --version)"
  "$python" -m venv --clear "$VENV"
}

# install NAME ARGUMENT...: runs deploy/install.py unless nothing changed since the last run under that name.
install() {
  local stamp="$VENV/.oviya-$1" wanted; shift
  wanted=$( { cat pyproject.toml requirements/*.lock deploy/*.py "$0"; echo "$* ${OVIYA_TORCH_BACKEND:-}";
    "$VENV/bin/python" --version; ls /dev/nvidiactl 2>/dev/null || true; } | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  "$VENV/bin/python" -m deploy.install "$@" --editable
  echo "$wanted" >"$stamp"
}

# torchaudio's native library is built for CUDA and does not load without it; it is not needed.
install_whisperx() {
  install whisperx --extras stt --locks whisperx-test --with-torch
  if ! "$VENV/bin/python" -c 'import sys, torch; sys.exit(torch.version.cuda is None)'; then
    find "$VENV" -path '*/torchaudio/*' -name '*.so' -delete
  fi
}

# Installs Chromium, but not as a snap, unless a suitable browser exists; see oviya/cli/local/browsers.py.
install_browser() {
  "$VENV/bin/python" -m oviya.cli.local.browsers >/dev/null && return
  if ! is_ubuntu && command -v apt-get >/dev/null; then apt_install chromium; return; fi
  say "installing Chromium with Playwright"
  if as_root true 2>/dev/null; then as_root "$VENV/bin/python" -m playwright install-deps chromium || true; fi
  "$VENV/bin/python" -m playwright install chromium ||
    die "please install Google Chrome, or Chromium that is not a snap, then run this again"
}

# Installs Firefox, if apt has one that is no snap; the tests of Firefox are skipped without it.
install_firefox() {
  if command -v firefox-esr >/dev/null || command -v firefox >/dev/null; then return; fi
  if is_ubuntu || ! (apt_install firefox-esr); then say "without Firefox: its tests are skipped"; fi
}

install_test_tools() {
  local missing=()
  command -v flite >/dev/null || missing+=(flite)
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  command -v redis-server >/dev/null || missing+=(redis-server)
  fc-list 2>/dev/null | grep -q . || missing+=(fontconfig fonts-dejavu-core)
  # Playwright's driver includes a Node.js that is linked against libatomic.
  compgen -G "/usr/lib/*/libatomic.so.1" >/dev/null || missing+=(libatomic1)
  # Recordings of a person, for the tests of speech-to-text.
  [ -d "$HUMAN_SPEECH" ] || missing+=(asterisk-core-sounds-en-g722)
  apt_install "${missing[@]}"
  install_browser
  install_firefox
  if [ ! -d build/node/node_modules/@grpc/grpc-js ] || [ ! -d build/node/node_modules/werift ]; then
    say "installing the Node.js clients of the interoperability tests"
    # The last werift that runs on Node.js 20.
    npm install --silent --no-fund --no-audit --prefix build/node \
      @grpc/grpc-js@1.14.7 @grpc/proto-loader@0.8.1 werift@0.22.9
  fi
}

case $MODE in
  run) make_venv; install run --extras all ;;
  dev) make_venv; install dev --extras all,dev,emotion-hub --locks dev; install_test_tools ;;
  whisperx) make_venv; install_whisperx ;;
  lock)
    make_venv
    "$VENV/bin/python" -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r requirements/uv.lock
    "$VENV/bin/python" -m deploy.lock "${@:2}" ;;
  *) die "usage: setup.sh run|dev|whisperx|lock" ;;
esac
