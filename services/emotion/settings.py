"""Settings of the emotion service."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from oviya.mesh.settings import ServiceSettings
from services.emotion.prosody.planner import CSM_TEMPERATURE


class EmotionSettings(ServiceSettings):
    """Environment variables `EMOTION_...`."""

    model_config = SettingsConfigDict(env_prefix="EMOTION_")

    port: int = Field(default=50053, ge=0, le=65535)
    """gRPC port; 0 picks a free one and logs it."""
    base_temperature: float = Field(default=CSM_TEMPERATURE, gt=0, le=2)
    """CSM's sampling temperature for a neutral voice; those of the emotions are near it."""
    max_text_chars: int = Field(default=8192, ge=1, le=1 << 20)
    """Longest text of a Detect call in characters."""
    max_audio_s: float = Field(default=60.0, gt=0, le=600)
    """Longest sound of a Detect call in seconds; the last 20 s are judged."""
    detect_slots: int = Field(default=64, ge=1, le=4096)
    """Most Detect calls at once, as many as the gateway's sessions; further calls get RESOURCE_EXHAUSTED.  Utterances
    are judged one after the other, in some milliseconds each."""
    stall_s: float = Field(default=10.0, gt=0, le=3600)
    """Longest wait in seconds for a Detect call's next message."""
    detect_s: float = Field(default=120.0, gt=0, le=3600)
    """Longest Detect call in seconds: twice the longest utterance, which may be sent as it is spoken."""
    text_model: str = ""
    """Folder of the text classifier; empty for the one that ships with Oviya."""
    voice_backend: Literal["acoustic", "hub"] = "acoustic"
    """What judges the voice: acoustic features relative to the speaker's baseline, or an audio classifier (hub)."""
    voice_model: str = ""
    """For the hub backend: a folder, or a hub id such as "superb/wav2vec2-base-superb-er"."""
