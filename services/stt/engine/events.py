"""The events of a session.  All times are seconds from the session's first sample."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from services.stt.decode.words import text_of
from services.stt.recognizer import Word


class EndReason(Enum):
    """Why a turn ended."""

    SILENCE = auto()
    REQUESTED = auto()
    MAX_LENGTH = auto()
    STREAM_END = auto()


@dataclass(frozen=True)
class SpeechStarted:
    """A turn started; its speech began at `start_s`, and `at_s` is the position at which that was detected."""

    at_s: float
    turn: int
    start_s: float


@dataclass(frozen=True)
class Partial:
    """The words of the turn so far.  Later partials, `LikelyEnd` and `Final` begin with the same words, whose case and
    punctuation may differ; punctuation after the last word is left out."""

    at_s: float
    turn: int
    text: str


@dataclass(frozen=True)
class LikelyEnd:
    """The turn has probably ended with these words.  `Final` with the same text follows, or `Resumed`."""

    at_s: float
    turn: int
    words: tuple[Word, ...]
    language: str = ""

    @property
    def text(self) -> str:
        """The words as the model wrote them."""
        return text_of(self.words)


@dataclass(frozen=True)
class SpeechStopped:
    """The speaker fell silent at `end_s` and may go on.  `Resumed`, or `Final`, follows."""

    at_s: float
    turn: int
    end_s: float


@dataclass(frozen=True)
class Resumed:
    """The speaker went on after `SpeechStopped`; a `LikelyEnd` since then is void."""

    at_s: float
    turn: int


@dataclass(frozen=True)
class Final:
    """The final transcript of the turn; `language` is Whisper's code, empty if it is unknown."""

    at_s: float
    turn: int
    words: tuple[Word, ...]
    language: str = ""

    @property
    def text(self) -> str:
        """The words as the model wrote them."""
        return text_of(self.words)


@dataclass(frozen=True)
class TurnEnded:
    """The turn is over; its speech ended at `speech_end_s`."""

    at_s: float
    turn: int
    reason: EndReason
    speech_end_s: float


Event: TypeAlias = SpeechStarted | Partial | SpeechStopped | LikelyEnd | Resumed | Final | TurnEnded
