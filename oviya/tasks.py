"""Waiting in asyncio: with time-outs of Oviya's own type, and for the end of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from oviya.errors import Timeout

T = TypeVar("T")


async def cancel_and_wait(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancels tasks and waits until all of them have ended.  None is ignored.

    An exception that a task ended with is retrieved and dropped.  Where the caller itself is cancelled during the wait,
    CancelledError is raised as usual; `suppress(CancelledError)` around an `await task` would swallow it.
    """
    cancelled = [task for task in tasks if task is not None]
    for task in cancelled:
        task.cancel()
    if running := [task for task in cancelled if not task.done()]:
        await asyncio.wait(running)
    for task in cancelled:
        if not task.cancelled():
            task.exception()


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
