"""Retries a phrase when its recognizer breaks, so that no word is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from oviya.audio.pcm import Pcm
from oviya.errors import Unavailable
from services.stt import metrics
from services.stt.recognizer import HypothesisWord, Recognizer, RecognizerInfo, Word, to_seconds

log = structlog.get_logger()

T = TypeVar("T")


class RecoveringRecognizer:
    """Delegates to `inner` and buffers the sound of the running phrase.

    When `inner` breaks, `begin_session` repairs it and the phrase is fed again.  If it breaks twice on one phrase, the
    error is raised: the sound itself may be what breaks it.
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
        """Calls `step`; if it breaks, feeds the phrase again up to that step and calls it once more."""
        try:
            return step()
        except Unavailable as error:
            if self._broke or self._phrase is None or self._session is None:
                raise
            self._broke = True
            sound_s = to_seconds(sum(map(len, self._phrase)))
            log.warning("decoding a phrase again", error=type(error).__name__, sound_s=round(sound_s, 2))
            self._inner.begin_session(*self._session)
            if not begins:
                self._inner.begin_phrase()
                for samples in self._phrase[:-1] if feeds else self._phrase:
                    self._inner.feed(samples)
            result = step()
            metrics.RECOVERED_PHRASES.inc()
            return result
