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
    resume_token: str = field(default="", repr=False)
    """The secret by which the session is resumed, exported and deleted; empty: the gateway keeps no sessions."""


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
class LikelyEnd:
    """The user's turn is probably over: a FinalTranscript with this text follows, or Resumed."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """The user went on after LikelyEnd."""

    turn: int


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
class Evidence:
    """What the words, or the voice, say by themselves.

    `labels` are those of the judge behind it (GoEmotions' labels, tones of voice), best first; valence and arousal are
    -1 to 1, confidence is 0 to 1, and `notes` say what it rests on ("pitch 2.4 st lower").
    """

    labels: tuple[tuple[str, float], ...]
    valence: float
    arousal: float
    confidence: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tone:
    """How a feeling is answered: emotions for sentences that give back, support and ask; how strongly (0 to 1); what is
    mixed in (empty: nothing) and with what share; and why."""

    feeling: str
    mirror: str
    support: str
    ask: str
    intensity: float
    blend: str
    blend_share: float
    reason: str


@dataclass(frozen=True, slots=True)
class UserFeeling:
    """Why `UserEmotion` was said, and the tone that answers; comes after it.

    `emotions` and their shares are words, voice and the last turn's mood together, best first; `text` and `voice` are
    None where there were no words, or no voice was heard.
    """

    turn: int
    emotions: tuple[tuple[str, float], ...]
    valence: float
    arousal: float
    confidence: float
    intensity: float
    tone: Tone
    text: Evidence | None
    voice: Evidence | None


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
    """As a person reads it, for captions: "It costs $5."."""
    plan: ProsodyPlan
    voice: str
    """``csm`` or ``fallback``."""
    spoken: str = ""
    """As it is said: "It costs five dollars."."""
    language: str = ""
    """Language that it is read in (BCP 47), e.g. ``en``."""


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
TurnEvent: TypeAlias = SpeechStarted | PartialTranscript | FinalTranscript | TurnEnded
TranscribeEvent: TypeAlias = TurnEvent | LikelyEnd | Resumed
ConverseEvent: TypeAlias = SessionStarted | TurnEvent | UserEmotion | UserFeeling | SpeakEvent | TurnFailed
