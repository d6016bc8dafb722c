"""A session as asynchronous code sees it: where its calls run, and what a caller may cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.errors import Timeout
from services.stt import metrics
from services.stt.endpoint.vad import WINDOW_SAMPLES
from services.stt.engine.decoder_pool import DecoderPool, Slot
from services.stt.engine.events import EndReason, Event
from services.stt.engine.session import Session
from services.stt.recognizer import SAMPLE_RATE_HZ

SLICE_S = 0.1
"""Sound that is processed at a time: events of a long message come out while the rest of it still waits."""


class SessionLimits(Protocol):
    """What one session may take; see `services.stt.engine.engine.EngineLimits`."""

    @property
    def max_session_s(self) -> float: ...
    @property
    def idle_s(self) -> float: ...
    @property
    def turn_stall_s(self) -> float: ...


class AsyncSession:
    """One session.  One call at a time.

    While nobody speaks its calls run in the `listening` threads, which all sessions share.  A turn runs in a slot,
    which is taken when speech starts and given back when the turn's final transcript is known.

    Every event iterator works off its sound slice by slice and takes no more sound until it is done, which includes
    waiting for a slot: that is the backpressure.  A caller that sends faster than can be decoded waits.
    """

    def __init__(
        self,
        open_session: Callable[[], Session],
        slots: DecoderPool,
        listening: ThreadPoolExecutor,
        source_hz: int,
        limits: SessionLimits,
    ) -> None:
        self._open_session = open_session
        self._slots = slots
        self._slot: Slot | None = None
        self._listening = listening
        self._source_hz = source_hz
        self._slice = max(1, round(source_hz * SLICE_S))
        self._window = max(1, source_hz * WINDOW_SAMPLES // SAMPLE_RATE_HZ)
        self._waiting: list[Pcm] = []  # together less than a window, in which nothing can happen
        self._waiting_samples = 0
        self._limits = limits
        self._opened_at = self._spoken_at = self._now()
        self._patience_s = limits.turn_stall_s

    @property
    def in_turn(self) -> bool:
        """Whether somebody speaks, or pauses within a turn."""
        return self._session.in_turn

    @property
    def patience_s(self) -> float:
        """How long to wait for the next message of a turn; `stalled` says how long it took."""
        return max(0.0, self._patience_s)

    async def begin(self) -> None:
        """Makes the session.  Called once, first."""
        self._session: Session = await self._call(self._open_session)

    async def push(self, samples: Pcm) -> AsyncIterator[Event]:
        """Hears samples, shape (samples,), at the session's rate; yields events as they happen.

        Raises:
            Timeout: the session has reached its longest length, its running turn was ended and yielded; or nobody has
                spoken for too long.
            Busy: a turn started, and no slot became free in time.
            Unavailable: the recognizer broke, and again when it had been repaired.
        """
        self._patience_s = min(self._patience_s + len(samples) / self._source_hz, self._limits.turn_stall_s)
        if len(samples):
            self._waiting.append(samples)
            self._waiting_samples += len(samples)
        if self._waiting_samples >= self._window:
            async for event in self._hear_waiting():
                yield event
        async for event in self._expire():
            yield event

    async def end_turn(self) -> AsyncIterator[Event]:
        """Ends the running turn, if there is one.  Raises what `push` raises."""
        async for event in self._hear_waiting():
            yield event
        if self.in_turn:
            async for event in self._drive(self._session.end_turn):
                yield event
        async for event in self._expire():
            yield event

    async def waited(self, seconds: float) -> AsyncIterator[Event]:
        """Learns how long the caller's next message took, or has taken so far.

        A turn whose sound falls too far behind the clock ends as it would in silence: a caller that sends nothing, or
        next to nothing, must not keep a slot.  Time that the session itself took does not count.
        """
        self._patience_s -= seconds
        if self._patience_s > 0 or not self.in_turn:
            self._patience_s = self._patience_s if self.in_turn else self._limits.turn_stall_s
            return
        self._patience_s = self._limits.turn_stall_s
        metrics.STALLED_TURNS.inc()
        async for event in self._drive(self._session.end_turn, EndReason.SILENCE):
            yield event

    async def finish(self) -> list[Event]:
        """Ends the stream and with it the running turn.  Raises what `push` raises, except Timeout."""
        return [event async for event in self._end(EndReason.STREAM_END)]

    def close(self) -> None:
        """Gives back the slot of a turn that was broken off.

        A cancelled call may still run in the slot's thread; what comes next queues up behind it.
        """
        if self._slot is not None:
            slot, self._slot = self._slot, None
            self._slots.release(slot, None)

    async def _hear_waiting(self) -> AsyncIterator[Event]:
        if not self._waiting_samples:
            return
        samples = np.concatenate(self._waiting)
        self._waiting, self._waiting_samples = [], 0
        for start in range(0, len(samples), self._slice):
            part = samples[start : start + self._slice]
            async for event in self._drive(self._session.push, part):
                yield event
            metrics.AUDIO_SECONDS.inc(len(part) / self._source_hz)
            if self._session.position_s >= self._limits.max_session_s:
                break

    async def _end(self, reason: EndReason) -> AsyncIterator[Event]:
        async for event in self._hear_waiting():
            yield event
        async for event in self._drive(self._session.flush):
            yield event
        async for event in self._drive(self._session.end_turn, reason):
            yield event

    async def _expire(self) -> AsyncIterator[Event]:
        limits, now = self._limits, self._now()
        if max(self._session.position_s, now - self._opened_at) >= limits.max_session_s:
            async for event in self._end(EndReason.MAX_LENGTH):
                yield event
            raise Timeout(f"the session has lasted {limits.max_session_s:g} s, the longest", hint="open a new stream")
        if now - self._spoken_at >= limits.idle_s:
            metrics.IDLE_SESSIONS.inc()
            raise Timeout(f"nobody has spoken for {limits.idle_s:g} s", hint="open a new stream when somebody speaks")

    async def _drive(self, method: Callable[..., list[Event]], *arguments: Any) -> AsyncIterator[Event]:
        """Calls a method of the session; takes a slot where a turn starts, and gives it back where one has ended."""
        events = await self._call(method, *arguments)
        while True:
            if self._session.in_turn or events:
                self._spoken_at = self._now()
            if self._slot is not None and not self._session.has_recognizer:
                slot, self._slot = self._slot, None
                self._slots.release(slot, self)
            for event in events:
                yield event
            if not self._session.needs_recognizer:
                return
            self._slot = await self._slots.acquire(self)
            events = await self._call(self._attach, self._slot)

    def _attach(self, slot: Slot) -> list[Event]:
        slot.loaded = True
        fresh = slot.last_owner is not self or slot.recognizer.broken
        return self._session.attach(slot.recognizer, fresh=fresh)

    async def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        thread = self._listening if self._slot is None else self._slot.thread
        return await asyncio.get_running_loop().run_in_executor(thread, method, *arguments)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
