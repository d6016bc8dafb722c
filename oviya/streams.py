"""Time-outs between the messages of a stream: deadlines bound a call, not a stall within it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import TypeVar

from oviya.errors import Timeout

T = TypeVar("T")


async def with_stall_timeout(stream: AsyncIterable[T], stall_s: float, what: str) -> AsyncIterator[T]:
    """Passes messages on, and fails when the next one takes too long.

    Args:
        stream: the messages.
        stall_s: longest wait for a message in seconds.
        what: who is waited for, for the error, e.g. "the next RVQ frame from csm".

    Raises:
        Timeout: nothing came for `stall_s` seconds.
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
