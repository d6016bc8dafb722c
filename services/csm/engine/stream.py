"""One request's frames on their way from the engine's thread to whoever asked for them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.csm.device.contract import Sampling
from services.csm.request.request import Finish, GenerationEnd
from services.csm.request.speech import Piece, Speech

Item = NDArray[np.int64] | GenerationEnd | Exception
"""A frame (1, Q), the end, or a failure; nothing follows the last two."""


class Sink(Protocol):
    """Takes what a frame brought, for all streams of the sink at once.  Sinks that are equal are called as one."""

    def put(self, items: Sequence[tuple[FrameStream, Item]]) -> None:
        """Called on the engine's thread; must be quick and must not raise."""
        ...


@dataclass(frozen=True)
class LoopSink:
    """Hands items to the streams' queues on their event loop, with one wake-up of the loop a frame."""

    loop: asyncio.AbstractEventLoop

    def put(self, items: Sequence[tuple[FrameStream, Item]]) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody is left to tell
            self.loop.call_soon_threadsafe(_hand_over, items)


def _hand_over(items: Sequence[tuple[FrameStream, Item]]) -> None:
    for stream, item in items:
        stream.arrived.put_nowait(item)


class FrameStream:
    """Yields frames, each (1, Q) int64, as they are made; `end` tells afterwards how it went.

    Leave it through `async with`, or call `close`: a stream that nobody reads holds its slot until its length limit.
    What is public here beside that is the engine's.
    """

    def __init__(
        self,
        speech: Speech,
        piece: Piece,
        names: Sequence[bytes],
        sampling: Sampling,
        *,
        lead_s: float,
        sink: Sink,
        release: Callable[[FrameStream], None],
    ) -> None:
        self.speech, self.piece, self.names, self.sampling = speech, piece, list(names), sampling
        self.lead_s = lead_s if lead_s > 0 else math.inf
        self.sink = sink
        self.asked_at = time.monotonic()
        self.frames = 0
        """Frames of the pieces that were spoken."""
        self.prompt_positions = len(piece.prompt)
        self.cached_positions = 0
        self.reasons: set[Finish] = set()
        self.arrived: asyncio.Queue[Item] = asyncio.Queue()
        self.end: GenerationEnd | None = None
        """How the generation went, once all frames were read."""
        self._release = release

    def close(self) -> None:
        """Frees the slot before the next frame.  Does nothing once the generation has ended."""
        self._release(self)

    def __aiter__(self) -> FrameStream:
        return self

    async def __anext__(self) -> NDArray[np.int64]:
        if self.end is not None:
            raise StopAsyncIteration
        item = await self.arrived.get()
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
