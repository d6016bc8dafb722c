"""What the settings of a Whisper model mean on this machine: device, precision, threads, language, licence."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import ctranslate2  # pyright: ignore[reportMissingTypeStubs]
import structlog

from oviya.errors import CheckpointError
from services.stt.decode.cuda import HINT, LIBRARY, load_cublas
from services.stt.settings import SttSettings

log = structlog.get_logger()

LICENSE = "MIT"
"""Of OpenAI's models, which have names without a slash."""
MAX_THREADS = 4
"""More threads do not make the small models faster."""


@dataclass(frozen=True)
class ModelOptions:
    """How CTranslate2 loads a model.

    Attributes:
        device: "cpu" or "cuda".
        compute_type: precision, e.g. "int8".
        threads: CPU threads of a decode.
    """

    device: str
    compute_type: str
    threads: int


def model_options(settings: SttSettings) -> ModelOptions:
    """Returns the options for this machine; replaces what the settings leave to the service.

    Raises:
        CheckpointError: STT_DEVICE is cuda, and there is no GPU or no cuBLAS.
    """
    device = _device(settings.device)
    compute_type = settings.compute_type
    if compute_type == "default":
        compute_type = "float16" if device == "cuda" else "int8"
    return ModelOptions(device, compute_type, settings.threads or min(MAX_THREADS, os.cpu_count() or 1))


def _device(wanted: str) -> str:
    if wanted == "cpu":
        return wanted
    if not ctranslate2.get_cuda_device_count():
        if wanted == "cuda":
            raise CheckpointError("STT_DEVICE is cuda, and there is no GPU", hint="set STT_DEVICE=cpu")
        return "cpu"
    if load_cublas():
        return "cuda"
    if wanted == "cuda":
        raise CheckpointError(f"STT_DEVICE is cuda, and {LIBRARY} was not found", hint=HINT)
    log.warning("the GPU is not used: a library is missing", library=LIBRARY, hint=HINT)
    return "cpu"


def model_language(settings: SttSettings, *, multilingual: bool) -> str | None:
    """Returns the language of all decodes as Whisper's code; None: detected.

    Raises:
        CheckpointError: the model understands English only, and STT_LANGUAGE is another language.
    """
    if multilingual:
        return None if settings.language == "auto" else settings.language
    if settings.language not in ("auto", "en"):
        raise CheckpointError(
            f"{settings.model} understands English only, and STT_LANGUAGE is {settings.language}",
            hint="set STT_MODEL to a multilingual model, e.g. base, or STT_LANGUAGE=en",
        )
    return "en"


def model_license(model: str) -> str:
    """Returns the SPDX identifier of the licence of STT_MODEL; empty: unknown."""
    return "" if Path(model).is_dir() or "/" in model else LICENSE
