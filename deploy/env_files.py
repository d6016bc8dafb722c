"""Writes `deploy/docker/env/*.env`: the names of the settings that each container gets from `.env` and the shell.

    make env-files     # after a setting was added

Docker Compose passes a name without a value on where `.env` or the shell sets it.  So one `.env` serves all, and no
service sees another's secrets.  What is fixed inside the mesh (addresses and ports) stands in compose.yaml, which wins.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from deploy.project import ROOT
from oviya.mesh.settings import ServiceSettings

FOLDER = Path("deploy/docker/env")
SERVICES = ("stt", "brain", "emotion", "csm", "mimi", "gateway")


def settings_class(service: str) -> type[ServiceSettings]:
    """Returns the settings of a service."""
    module = importlib.import_module(f"services.{service}.settings")
    (found,) = (
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, ServiceSettings) and member.__module__ == module.__name__
    )
    return found


def env_file_text(service: str) -> str:
    """Returns the text of a service's file: each of its settings' names, in the order of `settings.py`."""
    settings = settings_class(service)
    prefix = settings.model_config.get("env_prefix", "")
    heading = f"# Written by `make env-files`: what {service} gets from .env; see services/{service}/settings.py.\n"
    return heading + "".join(f"{prefix}{name}".upper() + "\n" for name in settings.model_fields)


def main() -> None:
    folder = ROOT / FOLDER
    folder.mkdir(exist_ok=True)
    for service in SERVICES:
        (folder / f"{service}.env").write_text(env_file_text(service), "utf-8")


if __name__ == "__main__":
    main()
