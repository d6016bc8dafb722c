"""The contract of a recognizer: it turns the phrases of one speaker into words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from oviya.audio.pcm import Pcm

SAMPLE_RATE_HZ = 16_000
"""Sample rate of all sound within the service."""


def to_samples(seconds: float) -> int:
    """Converts seconds to samples at `SAMPLE_RATE_HZ`."""
    return round(seconds * SAMPLE_RATE_HZ)


def to_seconds(samples: int) -> float:
    """Converts samples at `SAMPLE_RATE_HZ` to seconds."""
    return samples / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Word:
    """A word of a complete phrase.

    Attributes:
        text: the word, lower case.
        start_s: start in seconds from the first sample of the phrase; in an event, of the session.
        end_s: end in seconds, not before the start.
        confidence: 0 to 1.
    """

    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True)
class HypothesisWord:
    """A word of a phrase that is not complete.

    Attributes:
        text: the word, lower case.
        confidence: 0 to 1; 1 also where the backend has no confidence.
    """

    text: str
    confidence: float


@dataclass(frozen=True)
class RecognizerInfo:
    """What a backend has loaded.

    Attributes:
        name: name of the model.
        backend: name of the library that runs it.
        license: SPDX identifier of the weights' licence; empty: unknown.
        languages: BCP 47 tags.
        vocabulary: whether a session can name words that it expects.
        device: where it runs.
        trained: False where the weights are random.
        aligner: how word times are found: "attention" (Whisper's cross-attention), or the name of an aligner's model;
            empty: unknown.
    """

    name: str
    backend: str
    license: str
    languages: tuple[str, ...]
    vocabulary: bool = False
    device: str = "cpu"
    trained: bool = True
    aligner: str = ""


class Recognizer(Protocol):
    """Decodes speech as it arrives, phrase by phrase.

    A phrase is a stretch of sound without a long pause; a turn has one or more.  Every method may block.  All are
    called from one thread, in the order `begin_session (begin_phrase feed* end_phrase)*`, with `partial` between feeds.
    A recognizer serves one session at a time.  `begin_session` is called before it serves another one, possibly in the
    middle of a phrase, which is then discarded.

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
        """Discards all adaptation to the last speaker.

        Args:
            edge_hz: upper edge of the sound's band: half of the sample rate at which it was recorded.
            vocabulary: words and phrases that the speaker is likely to say; empty where `info.vocabulary` is False.
        """
        ...

    def begin_phrase(self) -> None:
        """Begins a phrase."""
        ...

    def feed(self, samples: Pcm) -> None:
        """Adds samples, shape (samples,), at `SAMPLE_RATE_HZ`; may return before they are decoded."""
        ...

    def partial(self) -> Sequence[HypothesisWord] | None:
        """Returns the hypothesis so far: the words that the last decode would return if the phrase ended now.

        None: nothing was decoded since the last call.
        """
        ...

    def end_phrase(self, committed: Sequence[str]) -> Sequence[Word]:
        """Ends the phrase and returns its words, in order.

        Args:
            committed: words of the phrase that were sent to the caller.  The session keeps them whatever is returned,
                so a backend that aligns words with the sound should align these.
        """
        ...

    def close(self) -> None:
        """Releases what the backend holds; `begin_session` acquires it again."""
        ...
