"""Settings of the speech-to-text service, from the environment: `STT_PORT`, `STT_SESSIONS` ..."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from oviya.audio.pcm import MAX_MESSAGE_BYTES
from oviya.mesh.settings import ServiceSettings


class SttSettings(ServiceSettings):
    """How the service hears."""

    model_config = SettingsConfigDict(env_prefix="STT_")

    port: int = Field(default=50051, ge=0, le=65535)
    """gRPC port; 0 takes a free one and logs it."""
    sessions: int = Field(default=64, ge=1, le=4096)
    """Streams that may be open, as many as the gateway's sessions; one more is refused as busy.  Listening to one in
    which nobody speaks takes about a hundredth of a core."""
    slots: int = Field(default=4, ge=1, le=256)
    """Turns that are decoded at once.  A slot is taken when somebody begins to speak and given back after the turn.
    Each has a decoder process of some 115 MB; speech takes about half of a core."""
    slot_wait_s: float = Field(default=5.0, gt=0, le=60.0)
    """Longest time in seconds that a turn waits for a slot while its sound is kept; then its stream ends as busy."""
    warm_decoders: int = Field(default=2, ge=1, le=256)
    """Decoders that are started with the service and kept; those beyond start with a turn, in 0.6 s, and end when they
    were not needed for a minute."""
    end_silence_min_s: float = Field(default=0.3, ge=0.2, le=5.0)
    """Silence in seconds that ends a turn after a whole sentence, unless a session sets one silence for all."""
    end_silence_max_s: float = Field(default=0.9, ge=0.2, le=5.0)
    """Silence in seconds that ends a turn in the middle of a sentence."""
    end_silence_cap_s: float = Field(default=1.5, ge=0.2, le=10.0)
    """Longest silence in seconds, however long the speaker's own pauses are."""
    end_silence_dictation_s: float = Field(default=2.2, ge=0.2, le=5.0)
    """Silence in seconds that ends a turn in the middle of a number or a spelling that is read out: people pause for
    more than a second between groups of digits."""
    phrase_silence_s: float = Field(default=0.2, ge=0.1, le=5.0)
    """Silence in seconds after which what was said is decoded to the end, so that its words can tell how long to wait.
    Shorter than about 0.2 it splits words at their stops."""
    max_turn_s: float = Field(default=60.0, ge=1.0, le=600.0)
    """Longest turn in seconds; speech that goes on is a new turn."""
    max_session_s: float = Field(default=7200.0, ge=1.0, le=86_400.0)
    """Longest session in seconds, of its sound or of the clock, whichever comes first."""
    noise_suppression: Literal["auto", "on", "off"] = "auto"
    """Whether noise is taken out before decoding (DeepFilterNet; 0.15 of a core while somebody speaks).  auto: on for
    PocketSphinx, off for WhisperX, whose models have learnt from noisy speech."""
    max_audio_bytes: int = Field(default=MAX_MESSAGE_BYTES, ge=1024, le=MAX_MESSAGE_BYTES)
    """Largest audio message in bytes."""
    stall_s: float = Field(default=30.0, gt=0, le=3600.0)
    """Longest wait in seconds for a session's next message; a silent microphone still sends."""
    turn_stall_s: float = Field(default=5.0, gt=0, le=300.0)
    """How far in seconds the sound of a turn may fall behind the clock before the turn is ended: a caller that stops
    sending while somebody speaks must not keep a slot."""
    idle_s: float = Field(default=600.0, gt=0, le=86_400.0)
    """Time in seconds without speech after which a session ends; a silent microphone is no activity.  More than
    GATEWAY_SESSION_IDLE_S, so that the gateway decides."""

    backend: Literal["pocketsphinx", "whisperx"] = "pocketsphinx"
    """What decodes.  whisperx needs requirements/whisperx.txt, in an environment of its own."""
    whisperx_model: str = Field(default="small", min_length=1)
    """Folder with a Whisper model converted for CTranslate2, or a model's name or id on the Hugging Face hub."""
    whisperx_device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; auto: on a GPU where there is one."""
    whisperx_compute_type: str = "default"
    """Precision of CTranslate2: int8, int8_float16, float16, float32 ...; default: float16 on a GPU, float32 else."""
    whisperx_language: str = Field(default="auto", pattern="^(auto|[a-z]{2,3})$")
    """Language as Whisper's code, e.g. en; auto: found out anew in every phrase, which costs a pass."""
    whisperx_batch_size: int = Field(default=8, ge=1, le=256)
    """Pieces of 30 s that are decoded at once."""
    whisperx_align_model: str = ""
    """Folder or hub id of the wav2vec 2.0 model that finds the words' times; empty: WhisperX's own for the language."""
    whisperx_threads: int = Field(default=4, ge=1, le=256)
    """CPU threads of a decode."""
    whisperx_partial_s: float = Field(default=0.4, ge=0.1, le=5.0)
    """Sound in seconds between two decodes of what is being said; at most half of the time is spent on them."""
    whisperx_download_root: str = ""
    """Folder for what is downloaded; empty: the hub's cache."""
    allow_download: bool = False
    """Whether models that are not there may be fetched from the hub at start; nothing is fetched later."""

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
