"""The way from a running job to the caller who reads its events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from oviya.errors import OviyaError, Timeout
from oviya.tasks import cancel_and_wait

T = TypeVar("T")

CAPACITY = 64
"""Events that may wait for the caller: some 5 s of sound."""


class EventQueue(Generic[T]):
    """A bounded queue whose writer fails when nobody reads.

    Args:
        stall_s: longest wait in seconds for a place in the queue.
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
            Timeout: the caller read nothing for `stall_s` seconds.
        """
        try:
            async with asyncio.timeout(0 if self._stalled else self._stall_s):
                await self._places.acquire()
        except TimeoutError as error:
            self._stalled = True  # who reports the failure must not wait as long again
            raise Timeout(
                f"the caller left events unread for {self._stall_s:g} s", hint="read the stream while sending"
            ) from error
        self._events.put_nowait(event)

    def close(self) -> None:
        """Ends the stream after what is in the queue."""
        self._events.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[T]:
        while (event := await self._events.get()) is not None:
            self._places.release()
            yield event


async def events_of(job: Callable[[EventQueue[T]], Awaitable[None]], stall_s: float) -> AsyncGenerator[T, None]:
    """Runs `job` and yields the events that it puts; raises what it raises, after its last event.

    The job is cancelled when the reader leaves.  It runs in a task of its own: a reader who is stuck in passing an
    event on does not keep it from ending.
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
    """Returns the failure that a task group ended with: the first typed one, else the first of any kind."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, OviyaError)), leaves[0])
