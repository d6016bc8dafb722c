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
class HypothesisWord:
    """A word of a phrase that is still being said.

    Attributes:
        text: the word, lower case.
        confidence: 0 (none) to 1 (certain, or nothing is known of its doubts).
    """

    text: str
    confidence: float


@dataclass(frozen=True)
class RecognizerInfo:
    """What a backend has loaded.

    Attributes:
        name: of the model.
        backend: of the library that runs it.
        license: SPDX identifier of the weights' licence; empty: unknown.
        languages: BCP 47 tags.
        vocabulary: whether a session can name words that it expects.
        device: where it runs.
        trained: False where the weights are random.
    """

    name: str
    backend: str
    license: str
    languages: tuple[str, ...]
    vocabulary: bool = False
    device: str = "cpu"
    trained: bool = True


class Recognizer(Protocol):
    """Decodes speech as it arrives, one phrase after the other.

    A phrase is a stretch of sound without a long pause; a turn has one or more.  Every method may block, and all are
    called from one thread, in the order `begin_session (begin_phrase feed* end_phrase)*`, with `partial` between feeds.
    It serves one turn after the other; `begin_session` stands between those of different sessions.  A session that
    breaks off leaves its phrase open: `begin_session` starts from there.

    Raises (any method):
        Unavailable: the backend broke; the next `begin_session` repairs it or raises again.
    """

    @property
    def info(self) -> RecognizerInfo:
        """What is loaded."""
        ...

    @property
    def partial_every_s(self) -> float:
        """Sound in seconds between two calls of `partial`."""
        ...

    @property
    def broken(self) -> bool:
        """Whether the backend is known to have broken, so that only `begin_session` makes it work."""
        ...

    def begin_session(self, edge_hz: float, vocabulary: Sequence[str] = ()) -> None:
        """Forgets everything about the last speaker.

        Args:
            edge_hz: upper edge of the sound's band, half of the rate that it came with; above it is nothing.
            vocabulary: words and phrases that the speaker is likely to say; empty where `info.vocabulary` is False.
        """
        ...

    def begin_phrase(self) -> None:
        """Begins to listen."""
        ...

    def feed(self, samples: Pcm) -> None:
        """Hears samples, shape (samples,), at `SAMPLE_RATE_HZ`; may return before they are decoded."""
        ...

    def partial(self) -> Sequence[HypothesisWord] | None:
        """Returns the words of the phrase so far, as the last decode would have them if the phrase ended now.

        None: nothing has been decoded since the last call.
        """
        ...

    def end_phrase(self, committed: Sequence[str]) -> Sequence[Word]:
        """Ends the phrase and returns its words, in order.

        Args:
            committed: words of the phrase that listeners have been told; whatever the last decode hears, the session
                keeps them, so a backend that looks for words in the sound should look for these.
        """
        ...

    def close(self) -> None:
        """Releases what the backend holds; `begin_session` takes it again."""
        ...
