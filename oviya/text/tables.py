"""Reads the tables under `data/`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def load_table(name: str) -> dict[str, Any]:
    """Returns the tables of `data/<name>.toml`."""
    return tomllib.loads((Path(__file__).parent / "data" / f"{name}.toml").read_text("utf-8"))


def inverted(forms: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Returns written form -> meaning, given the written forms of each meaning."""
    return {form: meaning for meaning, written in forms.items() for form in written}


def compiled(rules: Iterable[tuple[str, str]]) -> list[tuple[re.Pattern[str], str]]:
    """Compiles (regular expression, replacement) pairs."""
    return [(re.compile(pattern), words) for pattern, words in rules]
