"""Finds a model: in a folder, or in the local cache of a Hugging Face hub repository."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path

import structlog

from oviya.errors import CheckpointError, shorten
from services.stt.settings import SttSettings

log = structlog.get_logger()


def model_folder(name: str, files: Sequence[str], setting: str, settings: SttSettings) -> Path:
    """Returns the folder of a model; downloads it, with a progress bar, if `settings` allow it.

    Args:
        name: a folder or a repository id.
        files: patterns of the files that are needed.
        setting: name of the setting that `name` comes from, for errors.
        settings: whether downloads are allowed, and where they are stored.

    Raises:
        CheckpointError: it was not found, cannot be downloaded or cannot be read.
    """
    folder = Path(name) if Path(name).is_dir() else _snapshot(name, files, setting, settings)
    for file in sorted(folder.iterdir()):
        if not os.access(file, os.R_OK):
            raise CheckpointError(
                f"{file} cannot be read by user {os.getuid()}, which runs this service",
                hint="make the folder readable: chmod -R a+rX",
            )
    return folder


def _snapshot(repository: str, files: Sequence[str], setting: str, settings: SttSettings) -> Path:
    hub = importlib.import_module("huggingface_hub")
    allowed = settings.allow_download
    if allowed:
        log.info("downloading a model", repository=repository)
    try:
        return Path(
            hub.snapshot_download(
                repository,
                allow_patterns=list(files),
                cache_dir=settings.whisperx_download_root or None,
                local_files_only=not allowed,
            )
        )
    except (OSError, ValueError) as error:  # the hub's own errors are subclasses of these
        if allowed:
            message = str(error).strip().split("\n", 1)[0]
            reason = f"cannot download the model {repository}: {type(error).__name__}: {shorten(message)}"
            hint = f"check that this service can reach the hub, or set {setting} to a folder"
        else:
            reason = f"the model {repository} was not found"
            hint = f"set {setting} to a folder, or STT_ALLOW_DOWNLOAD=true to download it"
        raise CheckpointError(reason, hint=hint) from error
