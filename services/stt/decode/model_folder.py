"""Where a model lies: in a folder, or in the local copy of a repository of the Hugging Face hub."""

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
    """Returns the folder of a model; fetches it, with a progress bar, where `settings` allow it.

    Args:
        name: a folder, or a repository's id.
        files: patterns of what is needed of the repository.
        setting: the name of the setting that `name` is from.
        settings: whether anything may be fetched, and where it is kept.

    Raises:
        CheckpointError: it is not here, cannot be fetched, or may not be read.
    """
    folder = Path(name) if Path(name).is_dir() else _snapshot(name, files, setting, settings)
    for file in sorted(folder.iterdir()):
        if not os.access(file, os.R_OK):
            raise CheckpointError(
                f"{file} may not be read by user {os.getuid()}, who runs this service",
                hint="let everybody read that folder: chmod -R a+rX",
            )
    return folder


def _snapshot(repository: str, files: Sequence[str], setting: str, settings: SttSettings) -> Path:
    hub = importlib.import_module("huggingface_hub")
    allowed = settings.allow_download
    if allowed:
        log.info("fetching a model", repository=repository)
    try:
        return Path(
            hub.snapshot_download(
                repository,
                allow_patterns=list(files),
                cache_dir=settings.whisperx_download_root or None,
                local_files_only=not allowed,
            )
        )
    except (OSError, ValueError) as error:  # the hub's own errors are of these kinds
        if allowed:
            said = str(error).strip().split("\n", 1)[0]
            reason = f"cannot fetch the model {repository}: {type(error).__name__}: {shorten(said)}"
            hint = f"see that this service reaches the hub, or set {setting} to a folder"
        else:
            reason = f"the model {repository} is not here"
            hint = f"set {setting} to a folder, or STT_ALLOW_DOWNLOAD=true to fetch it"
        raise CheckpointError(reason, hint=hint) from error
