"""Whisper as a recognizer.  Whisper decodes whole arrays, so a running phrase is decoded again and again.

A `Transcriber` runs the model (`whisperx_backend`); `WhisperRecognizer` decides when, and what becomes of the result.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from oviya.audio.pcm import Pcm
from services.stt.decode.agreement import continuation
from services.stt.recognizer import HypothesisWord, RecognizerInfo, Word


@dataclass(frozen=True)
class Transcript:
    """The result of a decode: the words as the model wrote them, and the language, as Whisper's code."""

    words: tuple[str, ...]
    language: str


class Transcriber(Protocol):
    """A Whisper model with an aligner; shared by all sessions, one call at a time.

    Raises (any method):
        Unavailable: the model broke.
    """

    info: RecognizerInfo
    """What is loaded."""

    def load(self) -> None:
        """Loads the models and runs each once; later calls do nothing.

        Raises:
            CheckpointError: a model is missing or broken.
        """
        ...

    def transcribe(self, sound: Pcm, vocabulary: Sequence[str], language: str | None, *, draft: bool) -> Transcript:
        """Decodes a phrase.

        Args:
            sound: shape (samples,), 16 kHz.
            vocabulary: words and phrases to expect.
            language: Whisper's code; None: detected.
            draft: faster and less accurate.
        """
        ...

    def align(self, sound: Pcm, words: Sequence[str], language: str) -> list[Word]:
        """Returns `words` with their times in `sound`, in seconds from its first sample."""
        ...


class WhisperRecognizer:
    """The recognizer of one session.

    Args:
        transcriber: shared by all sessions.
        partial_every_s: sound between two decodes of a running phrase.
        clock: returns the seconds of a monotonic clock.
    """

    broken = False
    """The model is shared by all sessions, and `begin_session` cannot repair it."""

    def __init__(
        self, transcriber: Transcriber, partial_every_s: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._transcriber = transcriber
        self.partial_every_s = partial_every_s
        self._clock = clock
        self._vocabulary: tuple[str, ...] = ()
        self.begin_phrase()

    @property
    def info(self) -> RecognizerInfo:
        """What is loaded."""
        return self._transcriber.info

    def begin_session(self, edge_hz: float, vocabulary: Sequence[str] = ()) -> None:
        self._transcriber.load()
        self._vocabulary = tuple(vocabulary)

    def begin_phrase(self) -> None:
        self._pieces: list[Pcm] = []
        self._language: str | None = None
        self._pause_until = 0.0

    def feed(self, samples: Pcm) -> None:
        self._pieces.append(samples)

    def partial(self) -> list[HypothesisWord] | None:
        if self._clock() < self._pause_until:
            return None
        began = self._clock()
        transcript = self._transcriber.transcribe(self._sound(), self._vocabulary, self._language, draft=True)
        ended = self._clock()
        # At most half of the time is spent on partials, so a session with slow decodes gets fewer and keeps up.
        self._pause_until = ended + (ended - began)
        self._language = transcript.language or None
        return [HypothesisWord(word, 1.0) for word in normal(transcript.words)]  # Whisper has no confidence per word

    def end_phrase(self, committed: Sequence[str]) -> list[Word]:
        sound = self._sound()
        transcript = self._transcriber.transcribe(sound, self._vocabulary, None, draft=False)
        words = normal(transcript.words)
        self._pieces = []
        words = [*committed, *continuation(words, committed)]
        return self._transcriber.align(sound, words, transcript.language) if words else []

    def close(self) -> None:
        self._pieces = []

    def _sound(self) -> Pcm:
        sound = np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.float32)
        self._pieces = [sound]
        return sound


def normal(words: Sequence[str]) -> list[str]:
    """Returns `words` in lower case without surrounding punctuation, which changes most between decodes."""
    stripped = (re.sub(r"^\W++|(?<!\W)\W++$", "", word.lower()) for word in words)
    return [word for word in stripped if word]
