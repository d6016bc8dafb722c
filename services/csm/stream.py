"""One request's frames on their way from the engine's thread to an event loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from services.csm.config import FRAME_S
from services.csm.prompt import Prompt
from services.csm.request import GenerationEnd
from services.csm.slots import Sampling


class FrameStream:
    """Yields frames, each (1, Q) int64, as they are made; `end` tells afterwards how it went.

    Leave it through `async with`, or call `close`: a stream that nobody reads holds its slot until its length limit.
    """

    def __init__(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        expected_frames: int,
        max_frames: int,
        lead_s: float,
        release: Callable[[FrameStream], None],
    ) -> None:
        self.prompt, self.sampling = prompt, sampling
        self.expected_frames, self.max_frames = expected_frames, max_frames
        self.lead_s = lead_s if lead_s > 0 else math.inf
        self.frames = 0
        """Frames made so far; the engine's to write."""
        self.end: GenerationEnd | None = None
        """How the generation went, once all frames were read."""
        self.admitted_at = time.monotonic()
        self._release = release
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[NDArray[np.int64] | GenerationEnd | Exception] = asyncio.Queue()
        self._first_at = 0.0

    def next_due(self) -> float:
        """When the next frame may be made, on the engine's clock; in the past until the first one is there."""
        return self._first_at + self.frames * FRAME_S - self.lead_s if self.frames else -math.inf

    def note_frame(self, now: float) -> None:
        """Counts a frame that was made at `now`; real time runs from the first one."""
        if not self.frames:
            self._first_at = now
        self.frames += 1

    def deliver(self, item: NDArray[np.int64] | GenerationEnd | Exception) -> None:
        """Hands over a frame, the end or a failure, from any thread."""
        with suppress(RuntimeError):  # its loop was closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, item)

    def close(self) -> None:
        """Frees the slot before the next frame.  Does nothing once the generation has ended."""
        self._release(self)

    def __aiter__(self) -> FrameStream:
        return self

    async def __anext__(self) -> NDArray[np.int64]:
        if self.end is not None:
            raise StopAsyncIteration
        item = await self._arrived.get()
        if isinstance(item, Exception):
            raise item
        if isinstance(item, GenerationEnd):
            self.end = item
            raise StopAsyncIteration
        return item

    async def __aenter__(self) -> FrameStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
