"""Settings of the speech-to-text service, read from the environment: `STT_PORT`, `STT_SESSIONS` and so on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from oviya.audio.pcm import MAX_MESSAGE_BYTES
from oviya.mesh.settings import ServiceSettings


class SttSettings(ServiceSettings):
    """Settings of the speech-to-text service."""

    model_config = SettingsConfigDict(env_prefix="STT_")

    port: int = Field(default=50051, ge=0, le=65535)
    """gRPC port; 0: any free one, which is logged."""
    sessions: int = Field(default=64, ge=1, le=4096)
    """Maximum number of open streams; should match the gateway's sessions.  Further streams are rejected as busy.  A
    stream in which nobody speaks takes about a hundredth of a core."""
    decode_wait_s: float = Field(default=5.0, gt=0, le=60.0)
    """Longest time in seconds that the final decode of a turn waits for those of other speakers; then its stream ends
    as busy."""
    end_silence_min_s: float = Field(default=0.25, ge=0.2, le=5.0)
    """Silence in seconds that ends a turn after a complete sentence, unless a session sets its own silence."""
    end_silence_max_s: float = Field(default=0.8, ge=0.2, le=5.0)
    """Silence in seconds that ends a turn in the middle of a sentence."""
    end_silence_cap_s: float = Field(default=1.5, ge=0.2, le=10.0)
    """Longest silence in seconds that ends a turn, however long the speaker's own pauses are, except in the middle of a
    number or a spelling."""
    end_silence_dictation_s: float = Field(default=2.2, ge=0.2, le=5.0)
    """Silence in seconds that ends a turn in the middle of a number or a spelling that is read out; people pause for
    more than a second between groups of digits."""
    phrase_silence_s: float = Field(default=0.2, ge=0.1, le=5.0)
    """Silence in seconds that completes a phrase; its final words then decide how long to wait.  Values below about 0.2
    split words at their stops."""
    max_turn_s: float = Field(default=60.0, ge=1.0, le=600.0)
    """Longest turn in seconds; further speech starts a new turn."""
    max_session_s: float = Field(default=7200.0, ge=1.0, le=86_400.0)
    """Longest session in seconds, of its sound or of the clock, whichever is reached first."""
    max_connection_age_grace_s: float = Field(default=7500.0, ge=1, le=86_400)
    """Time in seconds that calls on an aged connection may go on: more than the longest session."""
    max_audio_bytes: int = Field(default=MAX_MESSAGE_BYTES, ge=1024, le=MAX_MESSAGE_BYTES)
    """Largest audio message in bytes."""
    stall_s: float = Field(default=30.0, gt=0, le=3600.0)
    """Longest wait in seconds for a session's next message; a silent microphone still sends sound."""
    turn_stall_s: float = Field(default=5.0, gt=0, le=300.0)
    """How far in seconds the sound of a turn may fall behind the clock before the turn is ended, so that a caller that
    stops sending in the middle of a turn does not keep a turn open."""
    idle_s: float = Field(default=600.0, gt=0, le=86_400.0)
    """Time in seconds without speech after which a session ends.  Should be longer than GATEWAY_SESSION_IDLE_S, so that
    the gateway ends its sessions first."""

    backend: Literal["whisper", "whisperx"] = "whisper"
    """Recognizer.  whisperx needs requirements/whisperx.txt, in a separate environment."""
    model: str = Field(default="tiny.en", min_length=1)
    """Whisper model: tiny.en comes with the service; another name, such as base.en, small, large-v3 or
    distil-large-v3, or the id of a repository on the Hugging Face hub (see STT_ALLOW_DOWNLOAD); or a folder with a
    model that was converted for CTranslate2."""
    language: str = Field(default="auto", pattern="^(auto|[a-z]{2,3})$")
    """Language of the speakers as Whisper's code, e.g. en; auto: detected if the model is multilingual."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the model; auto: a GPU if there is one."""
    compute_type: str = "default"
    """Precision of CTranslate2: int8, int8_float16, float16, float32 ...; default: float16 on a GPU, else int8."""
    threads: int = Field(default=0, ge=0, le=256)
    """Number of CPU threads for decoding; 0: one per core, at most four."""
    batch_size: int = Field(default=16, ge=1, le=256)
    """Number of sessions whose sound Whisper decodes at once on a GPU; a CPU, and WhisperX, decode one at a time."""
    align_model: str = ""
    """Folder or hub id of the wav2vec 2.0 model that aligns the words, for WhisperX; empty: its default for the
    language, where that is at hand."""
    download_root: str = ""
    """Folder for downloads; empty: the hub's cache."""
    allow_download: bool = False
    """Whether missing models may be downloaded from the hub at start; nothing is downloaded later."""

    @model_validator(mode="after")
    def _connections_outlive_sessions(self) -> SttSettings:
        if self.max_session_s > self.max_connection_age_grace_s:
            raise ValueError(
                "STT_MAX_SESSION_S must not exceed STT_MAX_CONNECTION_AGE_GRACE_S, after which connections are closed"
            )
        return self

    @model_validator(mode="after")
    def _silences_are_in_order(self) -> SttSettings:
        if not self.phrase_silence_s <= self.end_silence_min_s <= self.end_silence_max_s <= self.end_silence_cap_s:
            raise ValueError(
                "STT_PHRASE_SILENCE_S, STT_END_SILENCE_MIN_S, STT_END_SILENCE_MAX_S and STT_END_SILENCE_CAP_S "
                "must be in ascending order, e.g. STT_PHRASE_SILENCE_S=0.2 STT_END_SILENCE_MIN_S=0.25 "
                "STT_END_SILENCE_MAX_S=0.8 STT_END_SILENCE_CAP_S=1.5"
            )
        return self
