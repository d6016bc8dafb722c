"""The contract of a recognizer: it turns sound into words."""

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
    """A word.

    Attributes:
        text: the word, lower case, without surrounding punctuation.
        start_s: start in seconds from the first sample of the sound that was decoded; in an event, of the session.
        end_s: end in seconds, not before the start.
        confidence: 0 to 1.
        written: the word with case, punctuation and the space before it, as the model wrote it: " Hello,".
        stop: probability that the model gives the punctuation after the word, 0 to 1; None: there is none, or the
            probability is unknown.
    """

    text: str
    start_s: float
    end_s: float
    confidence: float
    written: str
    stop: float | None = None


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
        aligner: how word times are found: "attention" (of Whisper's decoder), or the name of an aligner.
    """

    name: str
    backend: str
    license: str
    languages: tuple[str, ...]
    vocabulary: bool = True
    device: str = "cpu"
    aligner: str = "attention"


@dataclass(frozen=True)
class Request:
    """Sound to decode.

    Attributes:
        sound: shape (samples,), at `SAMPLE_RATE_HZ`, at most 30 s.
        speech_s: seconds of it that are speech according to the voice detector.
        vocabulary: words and phrases that the speaker is likely to say.
        language: Whisper's code; None: detected.
        final: False for a draft, which is faster and less accurate.
    """

    sound: Pcm
    speech_s: float
    vocabulary: tuple[str, ...] = ()
    language: str | None = None
    final: bool = True


@dataclass(frozen=True)
class Transcript:
    """What was said.

    Attributes:
        words: the words, in order.
        language: Whisper's code; empty: unknown.
    """

    words: tuple[Word, ...]
    language: str


class Recognizer(Protocol):
    """A speech model that all sessions share.  Its methods block, and are called by one thread at a time."""

    @property
    def info(self) -> RecognizerInfo:
        """What is loaded."""
        ...

    @property
    def max_batch(self) -> int:
        """How many requests one call of `transcribe` may have."""
        ...

    def load(self) -> None:
        """Loads the model and runs it once.

        Raises:
            CheckpointError: a model is missing or broken.
        """
        ...

    def transcribe(self, requests: Sequence[Request]) -> Sequence[Transcript]:
        """Decodes `requests`, which are all drafts or all final; returns their transcripts in the same order.

        Raises:
            Unavailable: the model broke: out of memory, device lost.
        """
        ...
