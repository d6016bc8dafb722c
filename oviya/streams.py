"""Time-outs of single steps.  A deadline bounds a whole call, but not a stall within it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from typing import TypeVar

from oviya.errors import Timeout

T = TypeVar("T")


async def wait_for(awaitable: Awaitable[T], timeout_s: float, message: str) -> T:
    """Returns the result of `awaitable`.

    Raises:
        Timeout: with `message`, where it takes longer than `timeout_s` seconds.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await awaitable
    except TimeoutError as error:
        raise Timeout(message) from error


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
            yield await wait_for(anext(iterator), stall_s, f"nothing came for {stall_s:g} s while waiting for {what}")
        except StopAsyncIteration:
            return
