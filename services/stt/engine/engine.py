"""The speech-to-text engine: many sessions, one voice detector and one recognizer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from oviya.errors import Busy, Unsupported
from services.stt import metrics
from services.stt.decode.queue import DecodeQueue
from services.stt.endpoint.smart_turn import SmartTurn
from services.stt.endpoint.vad import WINDOW_SAMPLES, SileroVad
from services.stt.engine.async_session import AsyncSession
from services.stt.engine.limits import EngineLimits, TurnLimits
from services.stt.engine.session import Session
from services.stt.recognizer import Recognizer, RecognizerInfo

RETRY_AFTER_S = 5.0
"""When a rejected caller may try again, in seconds; sessions last minutes."""
LISTENING_THREADS = 4
"""Maximum number of threads that listen, for all streams: a window of 32 ms takes some 0.3 ms, Smart Turn some 25 ms at
a pause."""


class SttEngine:
    """Transcribes many streams at once.

    Args:
        turns: when phrases and turns end, unless a session sets its own silence.
        limits: what the engine admits.
        recognizer: shared by all sessions; loaded by `start`.
    """

    def __init__(
        self,
        turns: TurnLimits,
        limits: EngineLimits,
        recognizer: Recognizer,
    ) -> None:
        self._turns = turns
        self._limits = limits
        self._recognizer = recognizer
        self._queue = DecodeQueue(recognizer, limits.decode_wait_s)
        self._sessions = 0
        self._models: tuple[SileroVad, SmartTurn] | None = None
        threads = min(LISTENING_THREADS, os.cpu_count() or 1)
        self._listening = ThreadPoolExecutor(threads, thread_name_prefix="stt-listening")

    @property
    def info(self) -> RecognizerInfo:
        """What is loaded."""
        return self._recognizer.info

    async def start(self) -> None:
        """Loads the models and runs each once.

        Raises:
            CheckpointError: a model is missing or broken.
        """
        self._models, _ = await asyncio.gather(asyncio.to_thread(_load_detectors), asyncio.to_thread(self._queue.start))

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
        if self._models is None:
            raise RuntimeError("the engine has not been started")
        vad, smart_turn = self._models
        if vocabulary and not self.info.vocabulary:
            raise Unsupported(
                f"{self.info.backend} does not support a vocabulary",
                hint="leave config.vocabulary empty",
            )
        if self._sessions >= self._limits.sessions:
            raise Busy(f"all {self._limits.sessions} sessions are taken", retry_after_s=RETRY_AFTER_S)
        turns = replace(self._turns, end_silence_s=end_silence_s)

        def make_session() -> Session:
            return Session(vad.stream(), smart_turn, source_hz, turns, self._queue, vocabulary)

        self._sessions += 1
        metrics.SESSIONS.inc()
        session = AsyncSession(make_session, self._listening, source_hz, self._limits)
        try:
            yield session
        finally:
            session.close()
            self._sessions -= 1
            metrics.SESSIONS.dec()

    async def close(self) -> None:
        """Ends the decodes."""
        await asyncio.to_thread(self._queue.close)
        self._listening.shutdown()


def _load_detectors() -> tuple[SileroVad, SmartTurn]:
    """Loads the detectors of speech and of the end of a turn, and runs each once."""
    vad, smart_turn = SileroVad(), SmartTurn()
    silence = np.zeros(WINDOW_SAMPLES, np.float32)
    vad.stream().probability(silence)
    smart_turn.probability(silence)
    return vad, smart_turn
