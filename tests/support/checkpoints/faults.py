"""Checkpoints that cannot be loaded, and what a service's process says of one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any


def edit_config(folder: Path, **changes: Any) -> None:
    """Replaces fields of a checkpoint's config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def missing(folder: Path) -> None:
    """Takes the whole checkpoint away."""
    shutil.rmtree(folder)


def truncated(folder: Path) -> None:
    """Cuts the weights in half."""
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


async def assert_cannot_start(service: str, folder: Path, reason: bytes) -> None:
    """Starts a service (`csm`, `mimi`) with a checkpoint: it must end with 1 and one line that gives the reason."""
    name = service.upper()
    environment = os.environ | {f"{name}_CHECKPOINT": str(folder), f"{name}_PORT": "0", f"{name}_LOG_FORMAT": "json"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{service}", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert len(errors.splitlines()) == 1
    assert reason in errors
    assert b"Traceback" not in errors
