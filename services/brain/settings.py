"""Settings of the brain service."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from oviya.mesh.settings import ServiceSettings


class BrainSettings(ServiceSettings):
    """Environment variables `BRAIN_...`."""

    model_config = SettingsConfigDict(env_prefix="BRAIN_")

    port: int = Field(default=50052, ge=0, le=65535)
    """gRPC port; 0 takes a free one and logs it."""
    backend: Literal["listener"] = "listener"
    """Which mind answers: "listener", the embedded reflective listener, needs no weights and no network."""
    max_text_chars: int = Field(default=8192, ge=1, le=1 << 20)
    """Longest utterance, and longest earlier turn, in characters."""
    max_history_turns: int = Field(default=400, ge=0, le=10_000)
    """Most earlier turns that a request may hold."""
    max_session_id_chars: int = Field(default=128, ge=1, le=1024)
    """Longest session name in characters."""
    max_replies: int = Field(default=64, ge=1, le=10_000)
    """Replies that may run at once; one more is refused as busy, and the caller tries again."""
