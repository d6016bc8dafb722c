"""The speech-to-text engine: a pool of recognizers, and sessions that use them one each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import structlog

from oviya.audio.pcm import Pcm
from oviya.errors import Busy, Timeout, Unsupported
from services.stt import metrics
from services.stt.events import EndReason, Event
from services.stt.frontend import FrontEnd, Suppressor
from services.stt.recognizer import SAMPLE_RATE_HZ, Recognizer, RecognizerInfo
from services.stt.session import Session, TurnLimits
from services.stt.sphinx import SphinxRecognizer
from services.stt.vad import SileroVad

log = structlog.get_logger()

SLICE_S = 0.1
"""Sound that is processed at a time: events of a long message come out while the rest of it still waits."""
RETRY_AFTER_S = 2.0
"""When a caller that was turned away may try again; sessions last minutes."""


@dataclass(frozen=True)
class EngineLimits:
    """What the engine takes on.  `warm` recognizers are made at the start and kept, the others come and go."""

    sessions: int
    warm: int
    max_session_s: float


@dataclass(eq=False)
class _Slot:
    """A recognizer and the one thread that calls it."""

    index: int
    recognizer: Recognizer
    front: Future[FrontEnd] | None = None
    """The next session's front end, made or being made."""
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="stt"))


class SttEngine:
    """Hears many sessions at once.

    Args:
        turns: when phrases and turns end, unless a session asks otherwise.
        limits: how many sessions, and how long.
        make_recognizer: makes a backend that has loaded nothing yet.
        make_suppressor: makes the noise suppressor of a session; None: noise stays.
    """

    def __init__(
        self,
        turns: TurnLimits,
        limits: EngineLimits,
        make_recognizer: Callable[[], Recognizer] = SphinxRecognizer,
        make_suppressor: Callable[[], Suppressor] | None = None,
    ) -> None:
        self.turns = turns
        self.limits = limits
        self._make_suppressor = make_suppressor
        self._slots = [_Slot(index, make_recognizer()) for index in range(limits.sessions)]
        self._free = list(self._slots)
        self._first = self._slots[0].recognizer
        self._vad: SileroVad | None = None

    @property
    def info(self) -> RecognizerInfo:
        """What is loaded."""
        return self._first.info

    async def start(self) -> None:
        """Loads the voice detector and the warm recognizers, and runs each once.

        Raises:
            CheckpointError: a model is missing or broken.
            Unavailable: a decoder cannot start.
        """
        loop = asyncio.get_running_loop()
        self._vad = await asyncio.to_thread(SileroVad)
        warm = self._slots[: self.limits.warm]
        await asyncio.gather(*(loop.run_in_executor(slot.thread, self._warm_up, slot) for slot in warm))

    def _warm_up(self, slot: _Slot) -> None:
        assert self._vad is not None
        second = np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE_HZ).astype(np.float32)
        self._vad.stream().probability(second[:512])
        front, recognizer = self._make_front(), slot.recognizer
        recognizer.begin_session(SAMPLE_RATE_HZ / 2)
        recognizer.begin_phrase()
        front.begin()
        recognizer.feed(np.concatenate((front.push(second, speech=True), front.end())))
        recognizer.partial()
        recognizer.end_phrase(())
        slot.front = slot.thread.submit(self._make_front)

    def _make_front(self) -> FrontEnd:
        return FrontEnd(self._make_suppressor)

    @contextmanager
    def session(
        self, source_hz: int, end_silence_s: float | None = None, vocabulary: Sequence[str] = ()
    ) -> Iterator[RunningSession]:
        """Holds a recognizer for one session; leaving the context frees it.

        Args:
            source_hz: rate of the sound that comes, 8,000 to 48,000 Hz.
            end_silence_s: silence that ends a turn; None: it depends on what was said and who speaks.
            vocabulary: words and phrases that the speaker is likely to say.

        Raises:
            Unsupported: a vocabulary, and the backend can do nothing with one.
            Busy: every recognizer has a session.
        """
        if self._vad is None:
            raise RuntimeError("the engine has not been started")
        if vocabulary and not self.info.vocabulary:
            raise Unsupported(
                f"{self.info.backend} cannot be given a vocabulary",
                hint="leave config.vocabulary empty, or use WhisperX",
            )
        if not self._free:
            raise Busy(f"all {self.limits.sessions} sessions are taken", retry_after_s=RETRY_AFTER_S)
        slot = min(self._free, key=lambda free: free.index)  # a warm one where there is one
        self._free.remove(slot)
        metrics.SESSIONS.inc()
        limits = replace(self.turns, end_silence_s=end_silence_s)
        front, slot.front = slot.front or slot.thread.submit(self._make_front), None
        vad = self._vad.stream()

        def open_session() -> Session:
            return Session(slot.recognizer, vad, front.result(), source_hz, limits, vocabulary)

        try:
            yield RunningSession(open_session, slot.thread, source_hz, self.limits.max_session_s)
        finally:
            metrics.SESSIONS.dec()
            # A cancelled session's last call may still run; what comes next queues up behind it in the slot's thread.
            if slot.index >= self.limits.warm:
                slot.thread.submit(slot.recognizer.close)
            else:
                slot.front = slot.thread.submit(self._make_front)
            self._free.append(slot)

    async def close(self) -> None:
        """Ends all recognizers."""
        loop = asyncio.get_running_loop()
        slots, self._slots = self._slots, []
        await asyncio.gather(*(loop.run_in_executor(slot.thread, slot.recognizer.close) for slot in slots))
        for slot in slots:
            slot.thread.shutdown()


class RunningSession:
    """A session as asynchronous code sees it.  One call at a time.

    Every event iterator works off its sound slice by slice and takes no more sound until it is done: that is the
    backpressure.  A caller that sends faster than can be decoded waits.
    """

    def __init__(
        self, open_session: Callable[[], Session], thread: ThreadPoolExecutor, source_hz: int, max_session_s: float
    ) -> None:
        self._open_session = open_session
        self._thread = thread
        self._source_hz = source_hz
        self._slice = max(1, round(source_hz * SLICE_S))
        self._max_session_s = max_session_s
        self._opened_at = asyncio.get_running_loop().time()

    async def begin(self) -> None:
        """Makes the recognizer ready.  Called once, first.

        Raises:
            Unavailable: the recognizer cannot be had.
        """
        self._session: Session = await self._call(self._open_session)
        await self._call(self._session.begin)

    async def push(self, samples: Pcm) -> AsyncIterator[Event]:
        """Hears samples, shape (samples,), at the session's rate; yields events as they happen.

        Raises:
            Timeout: the session has reached its longest length; its running turn was ended and yielded.
            Unavailable: the recognizer broke.
        """
        for start in range(0, len(samples), self._slice):
            part = samples[start : start + self._slice]
            for event in await self._call(self._session.push, part):
                yield event
            metrics.AUDIO_SECONDS.inc(len(part) / self._source_hz)
            if self._session.position_s >= self._max_session_s:
                break
        async for event in self._expire():
            yield event

    async def end_turn(self) -> AsyncIterator[Event]:
        """Ends the running turn, if there is one.  Raises what `push` raises."""
        for event in await self._call(self._session.end_turn):
            yield event
        async for event in self._expire():
            yield event

    async def finish(self) -> list[Event]:
        """Ends the stream and with it the running turn."""
        return await self._call(self._session.finish)

    async def _expire(self) -> AsyncIterator[Event]:
        age_s = asyncio.get_running_loop().time() - self._opened_at
        if max(self._session.position_s, age_s) >= self._max_session_s:
            for event in await self._call(self._session.finish, EndReason.MAX_LENGTH):
                yield event
            raise Timeout(f"the session has lasted {self._max_session_s:g} s, the longest", hint="open a new stream")

    async def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, method, *arguments)
