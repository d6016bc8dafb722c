"""The frames of one request, on their way from the engine's thread to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.csm.engine.batch import Item
from services.csm.engine.sequence import Sequence
from services.csm.request.request import GenerationEnd


class Sink(Protocol):
    """Receives items of several streams in one call.  Sinks must be hashable; equal ones are called once."""

    def put(self, items: list[tuple[FrameStream, Item]]) -> None:
        """Called on the engine's thread; must return quickly and must not raise."""
        ...


@dataclass(frozen=True)
class LoopSink:
    """Puts items into the streams' queues on an event loop, which wakes once a frame for all of its streams."""

    loop: asyncio.AbstractEventLoop

    def put(self, items: list[tuple[FrameStream, Item]]) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody reads
            self.loop.call_soon_threadsafe(_put_all, items)


def _put_all(items: list[tuple[FrameStream, Item]]) -> None:
    for stream, item in items:
        stream.arrived.put_nowait(item)


class FrameStream:
    """Yields frames, each (1, Q) int64, as they are made.

    Use it as an async context manager, or call `close`: a stream that nobody reads holds its slot until its length
    limit.
    """

    def __init__(self, sequence: Sequence, sink: Sink, close: Callable[[Sequence], None]) -> None:
        self.sequence, self.sink = sequence, sink
        self.arrived: asyncio.Queue[Item] = asyncio.Queue()
        self.end: GenerationEnd | None = None
        """How the generation went, once all frames were read."""
        self._close = close

    def close(self) -> None:
        """Cancels the request and frees its slot.  Does nothing once the generation has ended."""
        self._close(self.sequence)

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
