"""What a session tells its listener.  All times are seconds from the session's first sample."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from services.stt.recognizer import Word


class EndReason(Enum):
    """Why a turn ended."""

    SILENCE = auto()
    REQUESTED = auto()
    MAX_LENGTH = auto()
    STREAM_END = auto()


@dataclass(frozen=True)
class SpeechStarted:
    """Speech was found at `start_s`; `at_s` is when that was decided."""

    at_s: float
    turn: int
    start_s: float


@dataclass(frozen=True)
class Partial:
    """The words of the turn so far; each begins with the one before, and `LikelyEnd` and `Final` with the last."""

    at_s: float
    turn: int
    text: str


@dataclass(frozen=True)
class LikelyEnd:
    """The turn is probably over, with these words; either `Final` follows with the same words, or `Resumed`."""

    at_s: float
    turn: int
    text: str


@dataclass(frozen=True)
class Resumed:
    """The speaker went on after `LikelyEnd`."""

    at_s: float
    turn: int


@dataclass(frozen=True)
class Final:
    """The words of the turn; nothing changes them later."""

    at_s: float
    turn: int
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True)
class TurnEnded:
    """The turn is over; its last speech ended at `speech_end_s`."""

    at_s: float
    turn: int
    reason: EndReason
    speech_end_s: float


Event: TypeAlias = SpeechStarted | Partial | LikelyEnd | Resumed | Final | TurnEnded
