"""Time-outs between the messages of a stream: deadlines bound a call, not a stall within it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from typing import TypeVar

from oviya.errors import Timeout

T = TypeVar("T")


async def wait_for(awaitable: Awaitable[T], timeout_s: float, message: str) -> T:
    """Returns the result of `awaitable`.

    Raises:
        Timeout: with `message`, after `timeout_s` seconds.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await awaitable
    except TimeoutError as error:
        raise Timeout(message) from error


async def with_stall_timeout(
    stream: AsyncIterable[T], stall_s: float, what: str, *, first_s: float | None = None
) -> AsyncIterator[T]:
    """Yields the messages of a stream; fails if the next one takes too long.

    Args:
        stream: the messages.
        stall_s: longest wait for a message in seconds.
        what: the awaited message, for the error, e.g. "the next RVQ frame from csm".
        first_s: longest wait for the first message in seconds; None: `stall_s`.

    Raises:
        Timeout: a message took longer.
    """
    iterator = aiter(stream)
    wait_s = stall_s if first_s is None else first_s
    while True:
        try:
            message = await wait_for(anext(iterator), wait_s, f"nothing came for {wait_s:g} s while waiting for {what}")
        except StopAsyncIteration:
            return
        yield message
        wait_s = stall_s
