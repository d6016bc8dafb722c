"""Settings of the speech-to-text service, from the environment: `STT_PORT`, `STT_SESSIONS` ..."""

from __future__ import annotations

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from oviya.audio.pcm import MAX_MESSAGE_BYTES
from oviya.mesh.settings import ServiceSettings


class SttSettings(ServiceSettings):
    """How the service hears."""

    model_config = SettingsConfigDict(env_prefix="STT_")

    port: int = Field(default=50051, ge=0, le=65535)
    """gRPC port; 0 takes a free one and logs it."""
    sessions: int = Field(default=4, ge=1, le=256)
    """Sessions at once.  Each has a decoder process of some 115 MB; speech takes about a third of a core."""
    warm_decoders: int = Field(default=2, ge=1, le=256)
    """Decoders that are started with the service and kept; those beyond start with their session, in 0.6 s."""
    end_silence_s: float = Field(default=0.6, ge=0.2, le=5.0)
    """Silence in seconds that ends a turn, unless a session asks otherwise."""
    phrase_silence_s: float = Field(default=0.3, ge=0.1, le=5.0)
    """Silence in seconds after which what was said is decoded to the end; the rest of `end_silence_s` hides that work.
    Shorter than about 0.2 it splits words at their stops."""
    max_turn_s: float = Field(default=60.0, ge=1.0, le=600.0)
    """Longest turn in seconds; speech that goes on is a new turn."""
    max_session_s: float = Field(default=7200.0, ge=1.0, le=86_400.0)
    """Longest session in seconds, of its sound or of the clock, whichever comes first."""
    max_audio_bytes: int = Field(default=MAX_MESSAGE_BYTES, ge=1024, le=MAX_MESSAGE_BYTES)
    """Largest audio message in bytes."""
    stall_s: float = Field(default=30.0, gt=0, le=3600.0)
    """Longest wait in seconds for a session's next message; a silent microphone still sends."""

    @model_validator(mode="after")
    def _decoders_fit_sessions(self) -> SttSettings:
        self.warm_decoders = min(self.warm_decoders, self.sessions)
        return self
