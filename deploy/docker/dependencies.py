"""Prints what one service needs, as pip requirements: `dependencies.py pyproject.toml csm`.

An image installs these before the code is copied, so that its slow layer changes only with pyproject.toml.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def requirements(project: dict, extra: str) -> list[str]:
    """Returns the requirements of `extra` with those of the extras it names, and the core's."""
    found = list(project["dependencies"])
    for requirement in project["optional-dependencies"][extra]:
        own = re.fullmatch(rf"{project['name']}\[([\w,-]+)\]", requirement)
        found += (
            [need for name in own.group(1).split(",") for need in requirements(project, name)] if own else [requirement]
        )
    return sorted(set(found))


if __name__ == "__main__":
    print("\n".join(requirements(tomllib.loads(Path(sys.argv[1]).read_text())["project"], sys.argv[2])))
