"""What a backend of the service must do: turn one speaker's phrases into words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from oviya.audio.pcm import Pcm

SAMPLE_RATE_HZ = 16_000
"""Rate at which everything inside the service hears."""


@dataclass(frozen=True)
class Word:
    """A word as it was heard.

    Attributes:
        text: the word, lower case.
        start_s: start in seconds, from the first sample of the phrase (of the session, once in an event).
        end_s: end in seconds, not before the start.
        confidence: 0 (none) to 1 (certain).
    """

    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True)
class RecognizerInfo:
    """What a backend has loaded.  `languages` are BCP 47 tags, `license` an SPDX identifier."""

    name: str
    backend: str
    license: str
    languages: tuple[str, ...]


class Recognizer(Protocol):
    """Decodes speech as it arrives, one phrase after the other.

    A phrase is a stretch of sound without a long pause; a turn has one or more.  Every method may block, and all are
    called from one thread, in the order `begin_session (begin_phrase feed* end_phrase)*`, with `partial` between feeds.
    A session that breaks off leaves its phrase open: `begin_session` starts from there.

    Raises (any method):
        Unavailable: the backend broke; the next `begin_session` repairs it or raises again.
    """

    info: RecognizerInfo

    def begin_session(self, edge_hz: float) -> None:
        """Forgets everything about the last speaker.

        Args:
            edge_hz: upper edge of the sound's band, half of the rate that it came with; above it is nothing.
        """
        ...

    def begin_phrase(self) -> None:
        """Begins to listen."""
        ...

    def feed(self, samples: Pcm) -> None:
        """Hears samples, shape (samples,), at `SAMPLE_RATE_HZ`; may return before they are decoded."""
        ...

    def partial(self) -> str:
        """Returns the words of the phrase so far."""
        ...

    def end_phrase(self) -> Sequence[Word]:
        """Ends the phrase and returns its words, in order."""
        ...

    def close(self) -> None:
        """Releases what the backend holds; `begin_session` takes it again."""
        ...
