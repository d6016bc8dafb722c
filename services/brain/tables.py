"""Reads the tables under `data/`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("data")


def load_table(name: str) -> dict[str, Any]:
    """Returns the tables of `data/<name>.toml`."""
    return tomllib.loads((DATA / f"{name}.toml").read_text("utf-8"))
