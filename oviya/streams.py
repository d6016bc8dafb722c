"""Time-outs between the messages of a stream.  A deadline bounds the call, but not a stall within it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import TypeVar

from oviya.errors import Timeout

T = TypeVar("T")


async def with_stall_timeout(stream: AsyncIterable[T], stall_s: float, what: str) -> AsyncIterator[T]:
    """Yields the messages of a stream; fails if the next one takes too long.

    Args:
        stream: the messages.
        stall_s: longest wait for a message in seconds.
        what: the awaited message, for the error, e.g. "the next RVQ frame from csm".

    Raises:
        Timeout: no message arrived within `stall_s` seconds.
    """
    iterator = aiter(stream)
    while True:
        try:
            async with asyncio.timeout(stall_s):
                message = await anext(iterator)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise Timeout(f"nothing came for {stall_s:g} s while waiting for {what}") from error
        yield message
