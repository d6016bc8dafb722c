"""The requirements in `pyproject.toml`, and the paths of its locks.

Uses the standard library only, because it runs before anything is installed.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK_FOLDER = Path("requirements")


def read_project(root: Path = ROOT) -> dict[str, Any]:
    """Returns `pyproject.toml` as a dictionary."""
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))


def canonical(name: str) -> str:
    """Returns a package's name as normalized by PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """Returns the canonical name in a requirement such as `torch==2.13.0`."""
    return canonical(re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0])


def requirements(project: dict[str, Any], extras: list[str]) -> list[str]:
    """Returns the requirements of `extras`, including the extras that they name, and the core dependencies.

    Args:
        project: the `[project]` table.
        extras: names of `[project.optional-dependencies]`.

    Raises:
        KeyError: there is no such extra.
    """
    found = set(project["dependencies"])
    for extra in extras:
        for requirement in project["optional-dependencies"][extra]:
            own = re.fullmatch(rf"{project['name']}\[([\w,-]+)\]", requirement)
            found |= set(requirements(project, own.group(1).split(","))) if own else {requirement}
    return sorted(found)


def torch_requirement(project: dict[str, Any], extras: list[str]) -> str | None:
    """Returns the requirement of torch among those of `extras`; None if there is none."""
    return next((each for each in requirements(project, extras) if name_of(each) == "torch"), None)


def lock_file(name: str, root: Path = ROOT) -> Path:
    """Returns the path of a lock: of an extra, or of another name in `deploy/lock.py`."""
    return root / LOCK_FOLDER / f"{name}.lock"
