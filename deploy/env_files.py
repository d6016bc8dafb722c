"""Writes `deploy/docker/env/*.env`: the names of the settings that Compose passes to each container.

    make env-files     # after a setting was added

For a name without a value, Compose passes the value from `.env` or the shell, if there is one.  One `.env` is therefore
enough for all services, and no service sees another's secrets.  Addresses and ports inside the mesh are set in
compose.yaml, which takes precedence.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from deploy.project import ROOT
from oviya.mesh.settings import ServiceSettings

FOLDER = Path("deploy/docker/env")
SERVICES = ("stt", "brain", "emotion", "csm", "mimi", "gateway")


def settings_class(service: str) -> type[ServiceSettings]:
    """Returns the settings class of a service."""
    return getattr(importlib.import_module(f"services.{service}.settings"), f"{service.capitalize()}Settings")


def env_file_text(service: str) -> str:
    """Returns the text of a service's file: the names of its settings, in the order of `settings.py`."""
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
