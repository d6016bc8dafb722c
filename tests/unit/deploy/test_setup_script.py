"""deploy/setup.sh on other systems than this one.

Stand-ins for Python, apt and what else it calls note what was asked of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = ("bash", "sh", "cat", "dirname", "env", "find", "grep", "id", "ls", "mkdir", "sed", "sha256sum", "chmod")
DEBIAN, UBUNTU = 'ID=debian\nVERSION_ID="13"\n', 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="26.04"\n'

PYTHON = """#!/bin/sh
# Stands in for {name}, version 3.{minor}.
case "$*" in
  *"version_info < (3, 11)"*ensurepip* | *ensurepip*"version_info < (3, 11)"*) exit {ensurepip} ;;
  *"version_info < (3, 11)"*) exit {old} ;;
  *python%d.%d-venv*) echo python3.{minor}-venv ;;
  --version) echo Python 3.{minor}.1 ;;
  "-m venv"*)
    for folder in "$@"; do :; done
    mkdir -p "$folder/bin"
    cat "$0.venv" > "$folder/bin/python"
    chmod +x "$folder/bin/python"
    echo "{name} $*" >> "$LOG" ;;
  *) exit 1 ;;
esac
"""
VENV_PYTHON = """#!/bin/sh
[ "$1" = --version ] || echo "venv $*" >> "$LOG"
case "$*" in
  --version) ;;
  "-m oviya.cli.local.browsers") exit {browser} ;;
  *) exit 0 ;;
esac
"""


class System:
    """A PATH of stand-ins."""

    def __init__(self, folder: Path, release: str, browser: bool = True) -> None:
        self.bin, self.log, self.venv = folder / "bin", folder / "log", folder / "venv"
        self.bin.mkdir()
        self.log.touch()
        self.browser = browser
        self.release = folder / "os-release"
        self.release.write_text(release)
        self.human_speech = folder / "human_speech"
        self.human_speech.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or pytest.fail(f"no {tool} here"))
        self.stand_in("sudo", '#!/bin/sh\nshift\nexec "$@"\n')
        self.stand_in("apt-get", '#!/bin/sh\necho "apt-get $*" >> "$LOG"\n')
        for tool in ("flite", "node", "npm", "redis-server", "firefox-esr"):
            self.stand_in(tool, "#!/bin/sh\n")
        self.stand_in("fc-list", "#!/bin/sh\necho DejaVu\n")

    def stand_in(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def python(self, name: str, minor: int, ensurepip: bool = True) -> None:
        self.stand_in(
            name, PYTHON.format(name=name, minor=minor, ensurepip=int(not ensurepip or minor < 11), old=int(minor < 11))
        )
        (self.bin / f"{name}.venv").write_text(VENV_PYTHON.format(browser=int(not self.browser)))

    def setup(self, mode: str, **env: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", str(ROOT / "deploy/setup.sh"), mode],
            env={
                "PATH": str(self.bin), "LOG": str(self.log), "VENV": str(self.venv),
                "HOME": os.environ.get("HOME", "/"), "OS_RELEASE": str(self.release),
                "HUMAN_SPEECH": str(self.human_speech), **env,
            },
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()

    @property
    def apt(self) -> list[str]:
        return [
            word
            for call in self.calls
            if call.startswith("apt-get install")
            for word in call.split()[2:]
            if not word.startswith("-") and word != "libatomic1"
        ]


@pytest.mark.parametrize(
    ("release", "name", "minor"),
    [(DEBIAN, "python3.11", 11), (UBUNTU, "python3.12", 12), (DEBIAN, "python3.13", 13), (UBUNTU, "python3", 14)],
)
def test_the_python_that_is_there_is_used(tmp_path, release, name, minor):
    system = System(tmp_path, release)
    system.python(name, minor)
    code, said = system.setup("run")
    assert code == 0, said
    assert f"{name} -m venv" in system.calls[0]
    assert system.calls[1] == "venv -m deploy.install --extras all --editable"
    assert system.apt == []


def test_an_older_python_and_one_without_venv_are_passed_over(tmp_path):
    system = System(tmp_path, UBUNTU)
    system.python("python3", 10)
    system.python("python3.12", 12, ensurepip=False)
    system.python("python3.13", 13)
    assert system.setup("run")[0] == 0
    assert "python3.13 -m venv" in system.calls[0]


def test_the_venv_package_is_installed_under_the_name_of_that_python(tmp_path):
    system = System(tmp_path, UBUNTU)
    system.python("python3.12", 12, ensurepip=False)
    system.setup("run")
    assert system.apt == ["python3.12-venv"]


def test_python_named_by_hand_is_the_only_candidate(tmp_path):
    system = System(tmp_path, DEBIAN)
    system.python("python3.11", 11)
    system.python("python3.13", 13)
    assert system.setup("run", PYTHON="python3.13")[0] == 0
    assert "python3.13 -m venv" in system.calls[0]


def test_without_a_python_it_says_which_ones_serve(tmp_path):
    system = System(tmp_path, DEBIAN)
    system.python("python3", 9)
    code, said = system.setup("run")
    assert code == 1
    assert "Python 3.11 or newer is needed" in said
    assert system.calls == []


def test_nothing_is_done_twice(tmp_path):
    system = System(tmp_path, DEBIAN)
    system.python("python3.13", 13)
    system.setup("run")
    before = len(system.calls)
    assert system.setup("run")[0] == 0
    assert [call for call in system.calls[before:] if "deploy.install" in call] == []
    system.setup("run", OVIYA_TORCH_BACKEND="cpu")  # another wish is a change
    assert system.calls[-1].startswith("venv -m deploy.install")


def test_debian_gets_chromium_from_apt(tmp_path):
    system = System(tmp_path, DEBIAN, browser=False)
    system.python("python3.13", 13)
    code, said = system.setup("dev")
    assert code == 0, said
    assert system.apt == ["chromium"]
    assert not any("playwright" in call for call in system.calls)


def test_ubuntu_gets_chromium_from_playwright_as_its_own_is_a_snap(tmp_path):
    system = System(tmp_path, UBUNTU, browser=False)
    system.python("python3.12", 12)
    code, said = system.setup("dev")
    assert code == 0, said
    assert system.apt == []
    assert "venv -m playwright install-deps chromium" in system.calls  # packages whose names differ between releases
    assert system.calls[-1] == "venv -m playwright install chromium"


def test_an_installed_browser_is_enough(tmp_path):
    system = System(tmp_path, UBUNTU)
    system.python("python3.12", 12)
    assert system.setup("dev")[0] == 0
    assert system.apt == []
    assert not any("playwright" in call for call in system.calls)


def test_debian_gets_firefox_from_apt_and_does_without_it(tmp_path):
    system = System(tmp_path, DEBIAN)
    system.python("python3.13", 13)
    (system.bin / "firefox-esr").unlink()
    assert system.setup("dev")[0] == 0
    assert system.apt == ["firefox-esr"]
    system.stand_in("apt-get", "#!/bin/sh\nexit 100\n")
    code, said = system.setup("dev")
    assert code == 0
    assert "without Firefox: its tests are skipped" in said


def test_missing_test_tools_come_from_apt_and_a_refusal_names_them(tmp_path):
    system = System(tmp_path, DEBIAN)
    system.python("python3.11", 11)
    (system.bin / "flite").unlink()
    (system.bin / "redis-server").unlink()
    system.human_speech.rmdir()
    assert system.setup("dev")[0] == 0
    assert system.apt == ["flite", "redis-server", "asterisk-core-sounds-en-g722"]
    system.stand_in("apt-get", "#!/bin/sh\nexit 100\n")
    code, said = system.setup("dev")
    assert code == 1
    assert "please install these packages, then run this again" in said
    assert "flite" in said
