"""Events of a conversation, of a spoken text and of a transcription.

Times are in seconds; audio is float32 with full scale 1.0.  Each class mirrors one message of ``protos/oviya/v1``; the
comments there describe the fields in detail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from oviya.audio.pcm import Pcm
from oviya.emotions.values import ProsodyPlan, Tone
from oviya.errors import OviyaError


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The session is open.  Always the first event of a conversation."""

    turn: int
    session_id: str
    sample_rate_hz: int
    """Rate of the reply's audio."""
    resume_token: str = field(default="", repr=False)
    """The secret that resumes, exports and deletes the session; empty: the gateway keeps no sessions."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user started to speak, at `start_s` in the session's audio."""

    turn: int
    start_s: float


@dataclass(frozen=True, slots=True)
class PartialTranscript:
    """The transcript of the turn so far; replaces the previous partial."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """A word, in lower case and without punctuation, and its position in the session's audio."""

    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True, slots=True)
class FinalTranscript:
    """The transcript of the turn; it does not change any more."""

    turn: int
    text: str
    """With case and punctuation, e.g. "Hello, world."."""
    words: tuple[Word, ...]
    language: str = ""
    """Language of the words (BCP 47), e.g. ``en``; empty: unknown."""


@dataclass(frozen=True, slots=True)
class LikelyEnd:
    """The user's turn is probably over (eager end of turn).  A FinalTranscript with this text follows, or Resumed."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user fell silent, at `end_s` in the session's audio, and may go on."""

    turn: int
    end_s: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """The user continued to speak after SpeechStopped; a LikelyEnd since then is void."""

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
    """The user's likely emotion, with a score from 0 to 1."""

    turn: int
    emotion: str
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """The result of one detector, for the words or for the voice.

    `labels` are the detector's own (GoEmotions' labels, tones of voice), best first; valence and arousal are -1 to 1,
    confidence is 0 to 1, and `notes` list the observations behind it ("pitch 2.4 st lower").
    """

    labels: tuple[tuple[str, float], ...]
    valence: float
    arousal: float
    confidence: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UserFeeling:
    """The details behind `UserEmotion`, and the tone of the reply.  Follows `UserEmotion`.

    `emotions` and their shares combine words, voice and the mood of the last turn, best first.  `text` is None without
    English words, `voice` without audible speech.
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
class Sentence:
    """A sentence of the reply.  Precedes its audio."""

    turn: int
    index: int
    text: str
    """The written form, for captions: "It costs $5."."""
    plan: ProsodyPlan
    voice: str
    """``csm`` or ``fallback``."""
    spoken: str = ""
    """The spoken form: "It costs five dollars."."""
    language: str = ""
    """Language of the spoken form (BCP 47), e.g. ``en``."""


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """The next chunk of the reply's audio, shape (samples,)."""

    turn: int
    samples: Pcm = field(repr=False)
    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the end of the user's speech (of the request, for text) to each stage; None: not reached."""

    turn_end_s: float | None = None
    final_transcript_s: float | None = None
    first_sentence_s: float | None = None
    first_frame_s: float | None = None
    first_audio_s: float | None = None


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The reply is complete; its audio is `duration_s` long."""

    turn: int
    duration_s: float
    latency: Latency


@dataclass(frozen=True, slots=True)
class Degraded:
    """A service is degraded; `message` describes the substitute.  The session continues."""

    turn: int
    service: str
    message: str


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """The turn failed and has no further events.  The session continues."""

    turn: int
    error: OviyaError


SpeakEvent: TypeAlias = Sentence | AudioChunk | Degraded | ReplyEnded
TurnEvent: TypeAlias = SpeechStarted | PartialTranscript | FinalTranscript | TurnEnded
TranscribeEvent: TypeAlias = TurnEvent | SpeechStopped | LikelyEnd | Resumed
ConverseEvent: TypeAlias = SessionStarted | TurnEvent | UserEmotion | UserFeeling | SpeakEvent | TurnFailed
