"""The speech-to-text engine: many sessions that listen, and a few slots in which their turns are decoded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import structlog

from oviya.errors import Busy, OviyaError, Unsupported
from oviya.mesh.background import BackgroundLoops
from services.stt import metrics
from services.stt.endpoint.vad import SileroVad
from services.stt.engine.async_session import AsyncSession
from services.stt.engine.decoder_pool import DecoderPool, Slot
from services.stt.engine.recovery import RecoveringRecognizer
from services.stt.engine.session import Session, TurnLimits
from services.stt.frontend.frontend import FrontEnd, Suppressor
from services.stt.recognizer import SAMPLE_RATE_HZ, Recognizer, RecognizerInfo

log = structlog.get_logger()

RETRY_AFTER_S = 5.0
"""When a caller that was turned away may try again; sessions last minutes."""
LISTENING_THREADS = 4
"""Threads that listen to the streams in which nobody speaks, at most: 32 ms of sound are some 0.3 ms of work."""


@dataclass(frozen=True)
class EngineLimits:
    """What the engine takes on.

    Attributes:
        sessions: streams that may be open.
        slots: turns that are decoded at once.
        warm: recognizers that are made at the start and kept; the others come and go.
        max_session_s: longest session in seconds.
        slot_wait_s: longest time in seconds that a turn waits for a slot.
        idle_s: time in seconds without speech after which a session ends.
        turn_stall_s: how far in seconds the sound of a turn may fall behind the clock.
        spare_idle_s: time in seconds after which a recognizer that is not kept warm is closed.
        watch_s: pause in seconds between two looks at the recognizers that nobody uses.
    """

    sessions: int = 64
    slots: int = 4
    warm: int = 2
    max_session_s: float = 7200.0
    slot_wait_s: float = 5.0
    idle_s: float = 600.0
    turn_stall_s: float = 5.0
    spare_idle_s: float = 60.0
    watch_s: float = 2.0


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
        make_recognizer: Callable[[], Recognizer],
        make_suppressor: Callable[[], Suppressor] | None = None,
    ) -> None:
        self.turns = turns
        self.limits = limits
        self._make_suppressor = make_suppressor
        self._slots = [Slot(index, RecoveringRecognizer(make_recognizer())) for index in range(limits.slots)]
        self._pool = DecoderPool(self._slots, limits.slot_wait_s)
        self._sessions = 0
        self._first = self._slots[0].recognizer
        self._vad: SileroVad | None = None
        threads = min(LISTENING_THREADS, os.cpu_count() or 1)
        self._listening = ThreadPoolExecutor(threads, thread_name_prefix="stt-listening")
        self._loops = BackgroundLoops()

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
        self._loops.start("stt-decoders", self._watch_recognizers)

    def _warm_up(self, slot: Slot) -> None:
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
        slot.loaded, slot.last_owner = True, None

    def _make_front(self) -> FrontEnd:
        return FrontEnd(self._make_suppressor)

    async def _watch_recognizers(self) -> None:
        """Replaces a recognizer that broke while nobody used it, and closes those that are no longer needed."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.limits.watch_s)
            for slot in self._pool.free:
                # The slot may be taken meanwhile: its turn then queues up in the slot's thread.
                if slot.index < self.limits.warm:
                    if slot.recognizer.broken:
                        await self._replace(slot)
                elif slot.loaded and loop.time() - slot.freed_at >= self.limits.spare_idle_s:
                    slot.loaded, slot.last_owner = False, None
                    await loop.run_in_executor(slot.thread, slot.recognizer.close)

    async def _replace(self, slot: Slot) -> None:
        slot.loaded, slot.last_owner = False, None
        try:
            await asyncio.get_running_loop().run_in_executor(slot.thread, self._warm_up, slot)
        except OviyaError as error:  # the next look, or the next turn, tries again
            log.error("a decoder cannot be replaced", slot=slot.index, error=type(error).__name__)
        else:
            log.info("a decoder was replaced", slot=slot.index)

    @contextmanager
    def session(
        self, source_hz: int, end_silence_s: float | None = None, vocabulary: Sequence[str] = ()
    ) -> Iterator[AsyncSession]:
        """Opens one session; leaving the context ends it.

        Args:
            source_hz: rate of the sound that comes, 8,000 to 48,000 Hz.
            end_silence_s: silence that ends a turn; None: it depends on what was said and who speaks.
            vocabulary: words and phrases that the speaker is likely to say.

        Raises:
            Unsupported: a vocabulary, and the backend can do nothing with one.
            Busy: as many sessions are open as may be.
        """
        if self._vad is None:
            raise RuntimeError("the engine has not been started")
        if vocabulary and not self.info.vocabulary:
            raise Unsupported(
                f"{self.info.backend} cannot be given a vocabulary",
                hint="leave config.vocabulary empty, or use WhisperX",
            )
        if self._sessions >= self.limits.sessions:
            raise Busy(f"all {self.limits.sessions} sessions are taken", retry_after_s=RETRY_AFTER_S)
        turns, vad = replace(self.turns, end_silence_s=end_silence_s), self._vad.stream()

        def open_session() -> Session:
            return Session(vad, self._make_front(), source_hz, turns, vocabulary)

        self._sessions += 1
        metrics.SESSIONS.inc()
        session = AsyncSession(open_session, self._pool, self._listening, source_hz, self.limits)
        try:
            yield session
        finally:
            session.close()
            self._sessions -= 1
            metrics.SESSIONS.dec()

    async def close(self) -> None:
        """Ends all recognizers."""
        await self._loops.close()
        loop = asyncio.get_running_loop()
        slots, self._slots = self._slots, []
        await asyncio.gather(*(loop.run_in_executor(slot.thread, slot.recognizer.close) for slot in slots))
        for slot in slots:
            slot.thread.shutdown()
        self._listening.shutdown()
