"""Cancellation of asyncio tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


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


@contextmanager
def raising_failure_of(task: asyncio.Task[Any]) -> Generator[None, None, None]:
    """Raises the exception that `task` failed with in place of CancelledError.

    For the reader of a call that another task writes to and cancels when it fails: that failure is the cause.
    """
    try:
        yield
    except asyncio.CancelledError:
        if task.done() and not task.cancelled() and (failure := task.exception()) is not None:
            raise failure from None
        raise
