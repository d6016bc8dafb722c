"""Data folders with one fault."""

from __future__ import annotations

import shutil
from pathlib import Path


def faulty_copy(data: Path, to: Path, table: str, old: str, new: str) -> Path:
    """Copies a folder of tables to `to`, where the first `old` in one table is replaced; returns `to`."""
    folder = Path(shutil.copytree(data, to))
    text = (folder / table).read_text("utf-8")
    assert old in text
    (folder / table).write_text(text.replace(old, new, 1), "utf-8")
    return folder
