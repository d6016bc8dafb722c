"""A queue from a running job to the caller that reads its events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from oviya.errors import OviyaError, Timeout
from oviya.tasks import cancel_and_wait

T = TypeVar("T")

CAPACITY = 64
"""Events that may wait for the caller: about 5 s of sound."""


class EventQueue(Generic[T]):
    """A bounded queue whose writer fails when the reader stalls.

    Args:
        stall_s: longest wait in seconds for free space.
        capacity: events that may wait.
    """

    def __init__(self, stall_s: float, capacity: int = CAPACITY) -> None:
        self._stall_s = stall_s
        self._events: asyncio.Queue[T | None] = asyncio.Queue()
        self._places = asyncio.Semaphore(capacity)
        self._stalled = False

    async def put(self, event: T) -> None:
        """Adds an event.

        Raises:
            Timeout: no event was read for `stall_s` seconds.
        """
        try:
            async with asyncio.timeout(0 if self._stalled else self._stall_s):
                await self._places.acquire()
        except TimeoutError as error:
            self._stalled = True  # later calls, which report the failure, do not wait again
            raise Timeout(
                f"the caller left events unread for {self._stall_s:g} s", hint="read the stream while sending"
            ) from error
        self._events.put_nowait(event)

    def close(self) -> None:
        """Ends the stream after the queued events."""
        self._events.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[T]:
        while (event := await self._events.get()) is not None:
            self._places.release()
            yield event


async def events_of(job: Callable[[EventQueue[T]], Awaitable[None]], stall_s: float) -> AsyncGenerator[T, None]:
    """Runs `job` and yields the events that it puts; after the last event, raises what the job raised.

    The job is cancelled when the reader leaves.  It runs in its own task, so it can end while the reader is blocked.
    """
    events: EventQueue[T] = EventQueue(stall_s)

    async def run() -> None:
        try:
            await job(events)
        finally:
            events.close()

    task = asyncio.create_task(run())
    try:
        async for event in events:
            yield event
        await task
    finally:
        await cancel_and_wait(task)


def first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Returns the error of a task group: the first OviyaError, else the first of any type."""
    error: BaseException = group.subgroup(OviyaError) or group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
