"""Copies of a data folder with one fault."""

from __future__ import annotations

import shutil
from pathlib import Path


def copy_with_fault(data: Path, folder: Path, file: str, old: str, new: str) -> Path:
    """Copies `data` into `folder`, replaces the first `old` in `file` by `new`, and returns the copy."""
    copy = shutil.copytree(data, folder / "data")
    text = (copy / file).read_text("utf-8")
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1), "utf-8")
    return copy
