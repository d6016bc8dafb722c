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
    slots: int = Field(default=4, ge=1, le=256)
    """Maximum number of turns that are decoded at once.  A slot is acquired when speech starts and released after the
    turn.  Each has a decoder process of some 115 MB; speech takes about half of a core."""
    slot_wait_s: float = Field(default=5.0, gt=0, le=60.0)
    """Longest time in seconds that a turn waits for a slot while its sound is buffered; then its stream ends as
    busy."""
    warm_decoders: int = Field(default=2, ge=1, le=256)
    """Decoders that are started with the service and kept.  Further ones are started with a turn, in 0.6 s, and stopped
    after a minute without use."""
    end_silence_min_s: float = Field(default=0.3, ge=0.2, le=5.0)
    """Silence in seconds that ends a turn after a complete sentence, unless a session sets its own silence."""
    end_silence_max_s: float = Field(default=0.9, ge=0.2, le=5.0)
    """Silence in seconds that ends a turn in the middle of a sentence."""
    end_silence_cap_s: float = Field(default=1.5, ge=0.2, le=10.0)
    """Longest silence in seconds within a turn, however long the speaker's own pauses are."""
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
    noise_suppression: Literal["auto", "on", "off"] = "auto"
    """Whether noise is suppressed before decoding (DeepFilterNet; 0.15 of a core during speech).  auto: on for
    PocketSphinx, off for WhisperX, whose models were trained on noisy speech."""
    max_audio_bytes: int = Field(default=MAX_MESSAGE_BYTES, ge=1024, le=MAX_MESSAGE_BYTES)
    """Largest audio message in bytes."""
    stall_s: float = Field(default=30.0, gt=0, le=3600.0)
    """Longest wait in seconds for a session's next message; a silent microphone still sends sound."""
    turn_stall_s: float = Field(default=5.0, gt=0, le=300.0)
    """How far in seconds the sound of a turn may fall behind the clock before the turn is ended, so that a caller that
    stops sending in the middle of a turn does not keep a slot."""
    idle_s: float = Field(default=600.0, gt=0, le=86_400.0)
    """Time in seconds without speech after which a session ends.  Should be longer than GATEWAY_SESSION_IDLE_S, so that
    the gateway ends its sessions first."""

    backend: Literal["pocketsphinx", "whisperx"] = "pocketsphinx"
    """Recognizer.  whisperx needs requirements/whisperx.txt, in a separate environment."""
    whisperx_model: str = Field(default="small", min_length=1)
    """Folder with a Whisper model converted for CTranslate2, or the name or id of a model on the Hugging Face hub."""
    whisperx_device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the model; auto: a GPU if there is one."""
    whisperx_compute_type: str = "default"
    """Precision of CTranslate2: int8, int8_float16, float16, float32 ...; default: float16 on a GPU, else float32."""
    whisperx_language: str = Field(default="auto", pattern="^(auto|[a-z]{2,3})$")
    """Language as Whisper's code, e.g. en; auto: detected for every phrase, which costs a pass."""
    whisperx_batch_size: int = Field(default=8, ge=1, le=256)
    """Number of chunks of 30 s that are decoded at once."""
    whisperx_align_model: str = ""
    """Folder or hub id of the wav2vec 2.0 model that aligns the words; empty: WhisperX's default for the language."""
    whisperx_threads: int = Field(default=4, ge=1, le=256)
    """Number of CPU threads for decoding."""
    whisperx_partial_s: float = Field(default=0.4, ge=0.1, le=5.0)
    """Sound in seconds between two decodes of a running phrase; at most half of the time is spent on them."""
    whisperx_download_root: str = ""
    """Folder for downloads; empty: the hub's cache."""
    allow_download: bool = False
    """Whether missing models may be downloaded from the hub at start; nothing is downloaded later."""

    @model_validator(mode="after")
    def _silences_are_in_order(self) -> SttSettings:
        if not self.phrase_silence_s <= self.end_silence_min_s <= self.end_silence_max_s <= self.end_silence_cap_s:
            raise ValueError(
                "STT_PHRASE_SILENCE_S, STT_END_SILENCE_MIN_S, STT_END_SILENCE_MAX_S and STT_END_SILENCE_CAP_S "
                "must be in ascending order, e.g. STT_PHRASE_SILENCE_S=0.2 STT_END_SILENCE_MIN_S=0.3 "
                "STT_END_SILENCE_MAX_S=0.9 STT_END_SILENCE_CAP_S=1.5"
            )
        return self

    @model_validator(mode="after")
    def _decoders_fit_sessions(self) -> SttSettings:
        self.slots = min(self.slots, self.sessions)
        self.warm_decoders = min(self.warm_decoders, self.slots)
        return self
