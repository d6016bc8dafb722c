"""A session for asynchronous code: runs its blocking calls in threads and enforces its limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.errors import Timeout
from services.stt import metrics
from services.stt.endpoint.vad import WINDOW_SAMPLES
from services.stt.engine.events import EndReason, Event
from services.stt.engine.limits import EngineLimits
from services.stt.engine.session import Session
from services.stt.recognizer import SAMPLE_RATE_HZ

SLICE_S = 0.1
"""Sound in seconds that is processed at a time, so that the first events of a long message are not delayed by its
rest."""


class AsyncSession:
    """One session.  Its methods must not be called concurrently.

    Its calls run in the `listening` threads, which all sessions share; decodes run elsewhere, and are awaited without a
    thread.

    The event iterators process sound slice by slice and wait for decodes, so they hold back a caller that sends faster
    than can be decoded.
    """

    def __init__(
        self,
        make_session: Callable[[], Session],
        listening: ThreadPoolExecutor,
        source_hz: int,
        limits: EngineLimits,
    ) -> None:
        self._make_session = make_session
        self._session: Session | None = None
        self._call: Future[Any] = Future()  # the last one
        self._listening = listening
        self._source_hz = source_hz
        self._slice = max(1, round(source_hz * SLICE_S))
        self._window = max(1, source_hz * WINDOW_SAMPLES // SAMPLE_RATE_HZ)
        self._buffered: list[Pcm] = []  # together less than a window
        self._buffered_samples = 0
        self._limits = limits
        self._opened_at = self._last_speech_at = self._now()
        self._stall_budget_s = limits.turn_stall_s

    @property
    def in_turn(self) -> bool:
        """Whether a turn has started and not ended; pauses belong to it."""
        return self._opened.in_turn

    @property
    def stall_budget_s(self) -> float:
        """Longest wait in seconds for the next message of a turn; `add_wait` says how long it took."""
        return max(0.0, self._stall_budget_s)

    async def open(self) -> None:
        """Opens the session; must be called first."""
        self._session = await self._run(self._make_session)

    async def push(self, samples: Pcm) -> AsyncIterator[Event]:
        """Processes samples, shape (samples,), at the session's rate; yields events as they happen.

        Raises:
            Timeout: the session reached its maximum length, after its running turn was ended and yielded; or nobody has
                spoken for too long.
            Busy: a decode waited too long for those of other sessions.
            Unavailable: the recognizer broke.
        """
        self._stall_budget_s = min(self._stall_budget_s + len(samples) / self._source_hz, self._limits.turn_stall_s)
        if len(samples):
            self._buffered.append(samples)
            self._buffered_samples += len(samples)
        if self._buffered_samples >= self._window:
            async for event in self._process_buffered():
                yield event
        async for event in self._check_limits():
            yield event

    async def end_turn(self) -> AsyncIterator[Event]:
        """Ends the running turn, if there is one.  Raises what `push` raises."""
        async for event in self._process_buffered():
            yield event
        if self.in_turn:
            async for event in self._advance(self._opened.end_turn):
                yield event
        async for event in self._check_limits():
            yield event

    async def add_wait(self, seconds: float) -> AsyncIterator[Event]:
        """Records how long the caller's next message took, or has taken so far.

        A turn whose sound falls too far behind the clock ends as after silence, so that a caller that sends nothing, or
        next to nothing, does not keep a turn open.  Time that the session itself took does not count.
        """
        self._stall_budget_s -= seconds
        if self._stall_budget_s > 0 or not self.in_turn:
            self._stall_budget_s = self._stall_budget_s if self.in_turn else self._limits.turn_stall_s
            return
        self._stall_budget_s = self._limits.turn_stall_s
        metrics.STALLED_TURNS.inc()
        async for event in self._advance(self._opened.end_turn, EndReason.SILENCE):
            yield event

    async def finish(self) -> list[Event]:
        """Ends the stream and the running turn.  Raises what `push` raises, except Timeout."""
        return [event async for event in self._end(EndReason.STREAM_END)]

    def close(self) -> None:
        """Cancels the decodes of an unfinished turn, after a call that is still running, which may submit some."""
        if self._session is not None:
            self._call.add_done_callback(lambda _: self._opened.close())

    async def _process_buffered(self) -> AsyncIterator[Event]:
        if not self._buffered_samples:
            return
        samples = np.concatenate(self._buffered)
        self._buffered, self._buffered_samples = [], 0
        for start in range(0, len(samples), self._slice):
            part = samples[start : start + self._slice]
            async for event in self._advance(self._opened.push, part):
                yield event
            metrics.AUDIO_SECONDS.inc(len(part) / self._source_hz)
            if self._opened.position_s >= self._limits.max_session_s:
                break

    async def _end(self, reason: EndReason) -> AsyncIterator[Event]:
        async for event in self._process_buffered():
            yield event
        async for event in self._advance(self._opened.flush):
            yield event
        async for event in self._advance(self._opened.end_turn, reason):
            yield event

    async def _check_limits(self) -> AsyncIterator[Event]:
        limits, now = self._limits, self._now()
        if max(self._opened.position_s, now - self._opened_at) >= limits.max_session_s:
            async for event in self._end(EndReason.MAX_LENGTH):
                yield event
            raise Timeout(
                f"the session reached its maximum length of {limits.max_session_s:g} s", hint="open a new stream"
            )
        if now - self._last_speech_at >= limits.idle_s:
            metrics.IDLE_SESSIONS.inc()
            raise Timeout(f"nobody has spoken for {limits.idle_s:g} s", hint="open a new stream when somebody speaks")

    async def _advance(self, method: Callable[..., list[Event]], *arguments: Any) -> AsyncIterator[Event]:
        """Calls a method of the session, and goes on until nothing is left to wait for."""
        session = self._opened
        events = await self._run(method, *arguments)
        while True:
            if session.in_turn or events:
                self._last_speech_at = self._now()
            for event in events:
                yield event
            if (decode := session.awaited) is None:
                return
            # `proceed` raises its error; gather takes notice of it, so that asyncio does not log it as overlooked.
            await asyncio.gather(asyncio.wrap_future(decode), return_exceptions=True)
            events = await self._run(session.proceed)

    @property
    def _opened(self) -> Session:
        if self._session is None:
            raise RuntimeError("the session has not been opened")
        return self._session

    async def _run(self, method: Callable[..., Any], *arguments: Any) -> Any:
        self._call = self._listening.submit(method, *arguments)
        return await asyncio.wrap_future(self._call)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
