"""A recognizer that breaks in the middle of a phrase begins it again, so that what was being said is not lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from oviya.audio.pcm import Pcm
from oviya.errors import Unavailable
from services.stt import metrics
from services.stt.recognizer import SAMPLE_RATE_HZ, HypothesisWord, Recognizer, RecognizerInfo, Word

log = structlog.get_logger()

T = TypeVar("T")


class RecoveringRecognizer:
    """Passes everything on to `inner` and keeps the sound of the running phrase until it is over.

    When `inner` breaks, it is repaired by `begin_session` and hears the phrase again.  A phrase on which it breaks
    twice is given up: its sound may be what breaks it.

    Args:
        inner: decodes.
    """

    def __init__(self, inner: Recognizer) -> None:
        self._inner = inner
        self._session: tuple[float, Sequence[str]] | None = None
        self._phrase: list[Pcm] | None = None
        self._broke = False

    @property
    def info(self) -> RecognizerInfo:
        return self._inner.info

    @property
    def partial_every_s(self) -> float:
        return self._inner.partial_every_s

    @property
    def broken(self) -> bool:
        return self._inner.broken

    def begin_session(self, edge_hz: float, vocabulary: Sequence[str] = ()) -> None:
        self._session, self._phrase = (edge_hz, vocabulary), None
        self._inner.begin_session(edge_hz, vocabulary)

    def begin_phrase(self) -> None:
        self._phrase, self._broke = [], False
        self._try(self._inner.begin_phrase, begins=True)

    def feed(self, samples: Pcm) -> None:
        if self._phrase is not None:
            self._phrase.append(samples)
        self._try(lambda: self._inner.feed(samples), feeds=True)

    def partial(self) -> Sequence[HypothesisWord] | None:
        return self._try(self._inner.partial)

    def end_phrase(self, committed: Sequence[str]) -> Sequence[Word]:
        words = self._try(lambda: self._inner.end_phrase(committed))
        self._phrase = None
        return words

    def close(self) -> None:
        self._phrase = None
        self._inner.close()

    def _try(self, step: Callable[[], T], *, begins: bool = False, feeds: bool = False) -> T:
        """Takes a step; where it breaks, hears the phrase again up to it, and takes it once more."""
        try:
            return step()
        except Unavailable as error:
            if self._broke or self._phrase is None or self._session is None:
                raise
            self._broke = True
            heard_s = sum(map(len, self._phrase)) / SAMPLE_RATE_HZ
            log.warning("a phrase is decoded again", error=type(error).__name__, heard_s=round(heard_s, 2))
            self._inner.begin_session(*self._session)
            if not begins:
                self._inner.begin_phrase()
                for samples in self._phrase[:-1] if feeds else self._phrase:
                    self._inner.feed(samples)
            result = step()
            metrics.RECOVERED_PHRASES.inc()
            return result
