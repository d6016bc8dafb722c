"""Which browser the browser tests drive."""

from __future__ import annotations

from pathlib import Path

import pytest

from oviya.cli.local.browsers import find_browser, is_snap


def program(path: Path, text: str = "\x7fELF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


UBUNTU_WRAPPER = """#!/bin/sh
if ! [ -x /snap/bin/chromium ]; then
    echo "Command '$0' requires the chromium snap to be installed." >&2
    exit 1
fi
exec /snap/bin/chromium "$@"
"""
DEBIAN_WRAPPER = '#!/bin/sh\nexec /usr/lib/chromium/chromium "$@"\n'


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"])
def test_a_browser_on_the_path_is_found(tmp_path, name):
    installed = program(tmp_path / "bin" / name, DEBIAN_WRAPPER)
    assert find_browser({"PATH": str(tmp_path / "bin")}, tmp_path) == installed


def test_ubuntus_snap_is_passed_over_for_chrome(tmp_path):
    snap = program(tmp_path / "bin/chromium-browser", UBUNTU_WRAPPER)
    assert is_snap(snap)
    assert find_browser({"PATH": str(tmp_path / "bin")}, tmp_path) is None
    chrome = program(tmp_path / "bin/google-chrome")
    assert find_browser({"PATH": str(tmp_path / "bin")}, tmp_path) == chrome


def test_a_link_to_the_snap_command_is_a_snap(tmp_path):
    program(tmp_path / "usr/bin/snap")
    (tmp_path / "chromium").symlink_to(tmp_path / "usr/bin/snap")
    assert is_snap(tmp_path / "chromium")
    assert is_snap(Path("/snap/bin/chromium"))


def test_playwrights_chromium_is_found_where_no_other_is(tmp_path):
    old = program(tmp_path / ".cache/ms-playwright/chromium-1100/chrome-linux/chrome")
    assert find_browser({"PATH": str(tmp_path)}, tmp_path) == old
    new = program(tmp_path / ".cache/ms-playwright/chromium-1217/chrome-linux64/chrome")
    assert find_browser({"PATH": str(tmp_path)}, tmp_path) == new
    other = program(tmp_path / "browsers/chromium-1/chrome-linux/chrome")
    assert find_browser({"PATH": "", "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "browsers")}, tmp_path) == other


def test_no_browser_is_none(tmp_path):
    assert find_browser({"PATH": str(tmp_path)}, tmp_path) is None
