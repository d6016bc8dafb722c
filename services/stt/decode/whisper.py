"""Whisper as a recognizer: it decodes whole arrays, so what is being said is decoded again and again.

How it decodes is a `Transcriber`'s affair (`whisperx_backend` has the real one); here is when, and what becomes of it.
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
    """What a decode heard: the words as the model wrote them, and the language, as Whisper's code."""

    words: tuple[str, ...]
    language: str


class Transcriber(Protocol):
    """A loaded Whisper model with an aligner; shared by all sessions, one call at a time.

    Raises (any method):
        Unavailable: the model broke.
    """

    @property
    def info(self) -> RecognizerInfo:
        """What is loaded."""
        ...

    def load(self) -> None:
        """Loads the models and runs each once; does nothing the second time.

        Raises:
            CheckpointError: a model is missing or broken.
        """
        ...

    def transcribe(self, sound: Pcm, vocabulary: Sequence[str], language: str | None, *, draft: bool) -> Transcript:
        """Decodes a phrase.

        Args:
            sound: shape (samples,), 16 kHz.
            vocabulary: words and phrases to expect.
            language: Whisper's code, where it is known already.
            draft: quickly rather than well.
        """
        ...

    def align(self, sound: Pcm, words: Sequence[str], language: str) -> list[Word]:
        """Finds where each of `words` lies in `sound`; times in seconds from its first sample."""
        ...


class WhisperRecognizer:
    """One session's recognizer.

    Args:
        transcriber: decodes; shared.
        partial_every_s: sound between two decodes of a running phrase.
        clock: seconds of a steady clock.
    """

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

    @property
    def broken(self) -> bool:
        """The model is shared by all sessions and repairs itself or fails for all of them."""
        return False

    def begin_session(self, edge_hz: float, vocabulary: Sequence[str] = ()) -> None:
        self._transcriber.load()
        self._vocabulary = tuple(vocabulary)

    def begin_phrase(self) -> None:
        self._pieces: list[Pcm] = []
        self._language: str | None = None
        self._rest_until = 0.0

    def feed(self, samples: Pcm) -> None:
        self._pieces.append(samples)

    def partial(self) -> list[HypothesisWord] | None:
        if self._clock() < self._rest_until:
            return None
        began = self._clock()
        transcript = self._transcriber.transcribe(self._sound(), self._vocabulary, self._language, draft=True)
        ended = self._clock()
        # At most half of the time goes into partials: a session whose decodes take long has fewer, and keeps up.
        self._rest_until = ended + (ended - began)
        self._language = transcript.language or None
        return [HypothesisWord(word, 1.0) for word in normal(transcript.words)]  # it tells no word's confidence

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
    """Returns `words` in lower case and without the punctuation around them, of which Whisper is least sure."""
    stripped = (re.sub(r"^\W++|(?<!\W)\W++$", "", word.lower()) for word in words)
    return [word for word in stripped if word]
