"""Finds the files that installed packages contain, without importing the packages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def package_folders(package: str) -> list[Path]:
    """Returns the folders of a package; empty if it is not installed.

    Importing it might need packages that its files do not need.
    """
    spec = find_spec(package)
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
