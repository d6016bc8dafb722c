"""Finds a Chromium that Playwright can drive: `python -m oviya.cli.local.browsers` prints its path.

The browser tests, the set-up and `oviya doctor` use it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SNAP_SCRIPT_BYTES = 4096
"""Size that is read of a script: Ubuntu's /usr/bin/chromium-browser is a short one that starts the snap."""
PLAYWRIGHT_PATTERNS = ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*")


def find_browser(env: Mapping[str, str] = os.environ, home: Path | None = None) -> Path | None:
    """Returns an installed Chrome or Chromium, or the one from `playwright install chromium`, or None.

    Snaps are skipped: they are confined to their own folders and cannot read a test's files.

    Args:
        env: PATH, and PLAYWRIGHT_BROWSERS_PATH.
        home: where Playwright's cache is; the user's home folder by default.
    """
    for name in NAMES:
        found = shutil.which(name, path=env.get("PATH"))
        if found and not is_snap(Path(found)):
            return Path(found)
    home = home or Path.home()
    folders = [home / ".cache/ms-playwright", home / "Library/Caches/ms-playwright"]
    if own := env.get("PLAYWRIGHT_BROWSERS_PATH"):
        folders = [Path(own)]
    for folder in folders:
        for pattern in PLAYWRIGHT_PATTERNS:
            for found in sorted(folder.glob(pattern), reverse=True):
                if os.access(found, os.X_OK):
                    return found
    return None


def is_snap(program: Path) -> bool:
    """Whether a program is a snap, or a script that starts one."""
    real = program.resolve()
    if real.name == "snap" or "snap" in (*program.parts[1:2], *real.parts[1:2]):
        return True
    try:
        with real.open("rb") as file:
            head = file.read(SNAP_SCRIPT_BYTES)
    except OSError:
        return False
    return head.startswith(b"#!") and (b"/snap/bin/" in head or b"snap run" in head)


if __name__ == "__main__":
    browser = find_browser()
    if browser is None:
        sys.exit("no Chrome or Chromium was found; a snap cannot be used")
    print(browser)
