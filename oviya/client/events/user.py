"""Events of the user's turn: what was said, and how."""

from __future__ import annotations

from dataclasses import dataclass

from oviya.client.events.base import Event
from oviya.emotions.values import Tone


@dataclass(frozen=True, slots=True)
class SpeechStarted(Event):
    """The user started to speak, at `start_s` in the session's audio."""

    start_s: float


@dataclass(frozen=True, slots=True)
class PartialTranscript(Event):
    """The transcript of the turn so far; replaces the previous partial."""

    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """A word, in lower case and without punctuation, and its position in the session's audio."""

    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True, slots=True)
class FinalTranscript(Event):
    """The transcript of the turn; it does not change any more."""

    text: str
    """With case and punctuation, e.g. "Hello, world."."""
    words: tuple[Word, ...]
    language: str = ""
    """Language of the words (BCP 47), e.g. ``en``; empty: unknown."""


@dataclass(frozen=True, slots=True)
class LikelyEnd(Event):
    """The user's turn is probably over (eager end of turn).  A FinalTranscript with this text follows, or Resumed."""

    text: str


@dataclass(frozen=True, slots=True)
class SpeechStopped(Event):
    """The user fell silent, at `end_s` in the session's audio, and may go on."""

    end_s: float


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """The user continued to speak after SpeechStopped; a LikelyEnd since then is void."""


@dataclass(frozen=True, slots=True)
class TurnEnded(Event):
    """The user's turn is over: `reason` is silence, requested, max_length or stream_end."""

    reason: str
    speech_end_s: float
    """End of the last speech in the session's audio."""


@dataclass(frozen=True, slots=True)
class UserEmotion(Event):
    """The user's likely emotion, with a score from 0 to 1."""

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
class UserFeeling(Event):
    """The details behind `UserEmotion`, and the tone of the reply.  Follows `UserEmotion`.

    `emotions` and their shares combine words, voice and the mood of the last turn, best first.  `text` is None without
    English words, `voice` without audible speech.
    """

    emotions: tuple[tuple[str, float], ...]
    valence: float
    arousal: float
    confidence: float
    intensity: float
    tone: Tone
    text: Evidence | None
    voice: Evidence | None


@dataclass(frozen=True, slots=True)
class TurnDropped(Event):
    """What the user said needs no answer; the turn has no further events.

    `reason` is backchannel ("mm-hm", laughter), no_words (a cough, a noise), echo (the reply's own sound) or
    stop_phrase (it only stopped the reply).
    """

    reason: str
    text: str
    """What was said; empty: no words."""
