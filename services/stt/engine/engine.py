"""The speech-to-text engine: many sessions, and a few slots in which their turns are decoded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import structlog

from oviya.errors import Busy, OviyaError, Unsupported
from oviya.mesh.background import BackgroundLoops
from services.stt import metrics
from services.stt.endpoint.vad import WINDOW_SAMPLES, SileroVad
from services.stt.engine.async_session import AsyncSession
from services.stt.engine.decoder_pool import DecoderPool, Slot
from services.stt.engine.limits import EngineLimits, TurnLimits
from services.stt.engine.recovery import RecoveringRecognizer
from services.stt.engine.session import Session
from services.stt.frontend.frontend import FrontEnd, Suppressor
from services.stt.recognizer import SAMPLE_RATE_HZ, Recognizer, RecognizerInfo

log = structlog.get_logger()

RETRY_AFTER_S = 5.0
"""When a rejected caller may try again, in seconds; sessions last minutes."""
LISTENING_THREADS = 4
"""Maximum number of threads for the streams in which nobody speaks: a window of 32 ms takes some 0.3 ms."""


class SttEngine:
    """Transcribes many streams at once.

    Args:
        turns: when phrases and turns end, unless a session sets its own silence.
        limits: what the engine admits.
        make_recognizer: makes a recognizer that has loaded nothing yet.
        make_suppressor: makes the noise suppressor of a session; None: no noise suppression.
    """

    def __init__(
        self,
        turns: TurnLimits,
        limits: EngineLimits,
        make_recognizer: Callable[[], Recognizer],
        make_suppressor: Callable[[], Suppressor] | None = None,
    ) -> None:
        self._turns = turns
        self._limits = limits
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
        warm = self._slots[: self._limits.warm]
        await asyncio.gather(*(loop.run_in_executor(slot.thread, self._warm_up, slot) for slot in warm))
        self._loops.start("stt-decoders", self._check_recognizers)

    def _warm_up(self, slot: Slot) -> None:
        assert self._vad is not None
        noise = np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE_HZ).astype(np.float32)
        self._vad.stream().probability(noise[:WINDOW_SAMPLES])
        front, recognizer = FrontEnd(self._make_suppressor), slot.recognizer
        recognizer.begin_session(SAMPLE_RATE_HZ / 2)
        recognizer.begin_phrase()
        front.begin()
        recognizer.feed(np.concatenate((front.push(noise, speech=True), front.end())))
        recognizer.partial()
        recognizer.end_phrase(())
        slot.loaded, slot.last_owner = True, None

    async def _check_recognizers(self) -> None:
        """Replaces recognizers that broke while unused, and closes those that are no longer needed."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._limits.check_every_s)
            for slot in self._pool.free:
                # The slot may be acquired meanwhile; its turn is then queued in the slot's thread.
                if slot.index < self._limits.warm:
                    if slot.recognizer.broken:
                        await self._replace(slot)
                elif slot.loaded and loop.time() - slot.freed_at >= self._limits.spare_idle_s:
                    slot.loaded, slot.last_owner = False, None
                    await loop.run_in_executor(slot.thread, slot.recognizer.close)

    async def _replace(self, slot: Slot) -> None:
        slot.loaded, slot.last_owner = False, None
        try:
            await asyncio.get_running_loop().run_in_executor(slot.thread, self._warm_up, slot)
        except OviyaError as error:  # the next check, or the next turn, tries again
            log.error("cannot replace a decoder", slot=slot.index, error=type(error).__name__)
        else:
            log.info("decoder replaced", slot=slot.index)

    @contextmanager
    def session(
        self, source_hz: int, end_silence_s: float | None = None, vocabulary: Sequence[str] = ()
    ) -> Iterator[AsyncSession]:
        """Admits a session; leaving the context ends it.

        Args:
            source_hz: sample rate of the sound, 8,000 to 48,000 Hz.
            end_silence_s: silence that ends a turn; None: it depends on what was said and who speaks.
            vocabulary: words and phrases that the speaker is likely to say.

        Raises:
            Unsupported: the backend does not support a vocabulary.
            Busy: the maximum number of sessions is open.
        """
        if self._vad is None:
            raise RuntimeError("the engine has not been started")
        if vocabulary and not self.info.vocabulary:
            raise Unsupported(
                f"{self.info.backend} does not support a vocabulary",
                hint="leave config.vocabulary empty, or use WhisperX",
            )
        if self._sessions >= self._limits.sessions:
            raise Busy(f"all {self._limits.sessions} sessions are taken", retry_after_s=RETRY_AFTER_S)
        turns, vad = replace(self._turns, end_silence_s=end_silence_s), self._vad.stream()

        def make_session() -> Session:
            return Session(vad, FrontEnd(self._make_suppressor), source_hz, turns, vocabulary)

        self._sessions += 1
        metrics.SESSIONS.inc()
        session = AsyncSession(make_session, self._pool, self._listening, source_hz, self._limits)
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
