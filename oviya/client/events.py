"""What a conversation, a spoken text and a transcription tell their caller, as plain typed values.

Times are seconds as floats; sound is float32 with full scale 1.0.  Each class mirrors one message of
``protos/oviya/v1``, whose comments say more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from oviya.audio.pcm import Pcm
from oviya.errors import OviyaError


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The session is open; always the first event of a conversation."""

    turn: int
    session_id: str
    sample_rate_hz: int
    """Rate of the reply's audio."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak, at `start_s` in the session's audio."""

    turn: int
    start_s: float


@dataclass(frozen=True, slots=True)
class PartialTranscript:
    """What has been heard of the turn so far; replaces the previous partial."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """One word and where it stands in the session's audio."""

    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True, slots=True)
class FinalTranscript:
    """What the user said in the turn; nothing changes it later."""

    turn: int
    text: str
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The user's turn is over: `reason` is silence, requested, max_length or stream_end."""

    turn: int
    reason: str
    speech_end_s: float
    """End of the last speech in the session's audio."""


@dataclass(frozen=True, slots=True)
class UserEmotion:
    """What the user seems to feel, and how certain that is (0 to 1)."""

    turn: int
    emotion: str
    score: float


@dataclass(frozen=True, slots=True)
class ProsodyPlan:
    """How the voice speaks an emotion; the scales are factors, 1 changes nothing."""

    emotion: str
    style: str
    reference_clip: str
    temperature: float
    pitch_scale: float
    rate_scale: float
    energy_scale: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the reply, told just before its first audio."""

    turn: int
    index: int
    text: str
    plan: ProsodyPlan
    voice: str
    """``csm`` or ``fallback``."""


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """The next piece of the reply's audio: samples, shape (samples,)."""

    turn: int
    samples: Pcm = field(repr=False)
    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the end of the user's speech (of the request, for text) to each stage; None: not reached."""

    turn_end_s: float | None
    final_transcript_s: float | None
    first_sentence_s: float | None
    first_frame_s: float | None
    first_audio_s: float | None


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The reply is complete; `duration_s` of sound were made."""

    turn: int
    duration_s: float
    latency: Latency


@dataclass(frozen=True, slots=True)
class Degraded:
    """Something does not work as it should; `message` says what is done instead.  The session goes on."""

    turn: int
    service: str
    message: str


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """This turn failed and has no further events; the session goes on."""

    turn: int
    error: OviyaError


SpeakEvent: TypeAlias = Sentence | AudioChunk | Degraded | ReplyEnded
TranscribeEvent: TypeAlias = SpeechStarted | PartialTranscript | FinalTranscript | TurnEnded
ConverseEvent: TypeAlias = SessionStarted | TranscribeEvent | UserEmotion | SpeakEvent | TurnFailed
