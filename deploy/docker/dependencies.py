"""Prints what extras need, as pip requirements: `dependencies.py pyproject.toml csm` (several with commas).

An image installs these before the code is copied, so that its slow layer changes only with pyproject.toml.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def requirements(project: dict, extras: str) -> list[str]:
    """Returns the requirements of `extras` with those of the extras that they name, and the core's."""
    found = set(project["dependencies"])
    for extra in extras.split(","):
        for requirement in project["optional-dependencies"][extra]:
            own = re.fullmatch(rf"{project['name']}\[([\w,-]+)\]", requirement)
            found |= set(requirements(project, own.group(1))) if own else {requirement}
    return sorted(found)


if __name__ == "__main__":
    print("\n".join(requirements(tomllib.loads(Path(sys.argv[1]).read_text())["project"], sys.argv[2])))
