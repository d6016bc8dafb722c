"""What an app needs of a sound device."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.errors import OviyaError

BLOCK_S = 0.020
"""Length of the microphone's blocks in seconds."""
MAX_WAITING_S = 10.0
"""How much sound of the microphone may wait for an app that does not take it; more is lost."""

Fill = Callable[[int], Pcm]
"""Returns the next samples for the loudspeaker, as many as it is asked for.  It is called in another thread."""


class NoSoundDevice(OviyaError):
    """There is no such sound device, or it cannot be used."""


class SoundDevice(ABC):
    """A microphone and a loudspeaker.  Iteration yields the microphone's blocks, shape (samples,).

        with device.running(loudspeaker.read):
            async for block in device:
                await conversation.send_audio(block)

    Args:
        input_rate_hz: rate of the microphone, 8,000 to 48,000.
        output_rate_hz: rate of the loudspeaker, 8,000 to 48,000.
    """

    latency_s = 0.0
    """Time in seconds from a call of `fill` until its sound is heard; known while the device runs."""

    def __init__(self, input_rate_hz: int, output_rate_hz: int) -> None:
        self.input_rate_hz = input_rate_hz
        self.output_rate_hz = output_rate_hz
        self._blocks: asyncio.Queue[Pcm] = asyncio.Queue(round(MAX_WAITING_S / BLOCK_S))
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def recording_over(self) -> bool:
        """Whether the microphone is a recording that has been read to its end; silence follows."""
        return False

    @contextmanager
    def running(self, fill: Fill) -> Generator[None]:
        """Records and plays until the end of the context.  Must be entered in a running event loop.

        Raises:
            NoSoundDevice: the device is busy, or was removed.
        """
        self._loop = asyncio.get_running_loop()
        try:
            self._start(fill)
            yield
        finally:
            self._stop()

    async def __aiter__(self) -> AsyncIterator[Pcm]:
        while True:
            yield await self._blocks.get()

    @abstractmethod
    def _start(self, fill: Fill) -> None:
        """Starts a thread that calls `fill` and `_heard`."""

    @abstractmethod
    def _stop(self) -> None:
        """Ends what `_start` started, also if that failed half way."""

    def _heard(self, block: Pcm) -> None:
        """Takes a block of the microphone, shape (samples,), from the device's thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._offer, np.array(block, np.float32))

    def _offer(self, block: Pcm) -> None:
        if not self._blocks.full():
            self._blocks.put_nowait(block)
