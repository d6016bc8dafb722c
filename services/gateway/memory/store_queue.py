"""Access to a store that may be unavailable: queued writes with retries, reads after them, and failure reports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import structlog

from oviya.errors import Unavailable
from oviya.mesh.background import BackgroundLoops
from services.gateway import metrics
from services.gateway.memory.store import CorruptRecord, Store, StoreError

log = structlog.get_logger()

T = TypeVar("T")

STORE = "store"
"""Name of the store in readiness reports and degraded events."""
MAX_WAITING_WRITES = 10_000
"""Writes that may be queued while the store is unavailable: hours of some hundred sessions.  Further ones are lost and
counted."""
RETRY_S = 1.0
READ_S = 2.0
"""Longest time in seconds to read a session; a caller waits for it."""
CLOSE_S = 5.0
"""Longest time in seconds to write what is queued when the gateway stops."""
PRUNE_S = 3600.0
"""Interval in seconds between searches for expired sessions."""

Write = Callable[[], Awaitable[None]]


class StoreQueue:
    """One gateway's queue to a store.

    Args:
        report: called with the problem of the store; empty: it works again.
        clock: current time in seconds since 1970.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        store: Store,
        report: Callable[[str], None],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.store = store
        self._report = report
        self._clock = clock
        self._sleep = sleep
        self._loops = BackgroundLoops(self._note)
        self._problems: dict[str, str] = {}
        self._writes: asyncio.Queue[tuple[Write, int]] = asyncio.Queue(MAX_WAITING_WRITES)
        self._unwritten = 0  # turns and summaries that are queued or being written
        self._opening = asyncio.Lock()
        self._opened = False
        self._away = False
        self._started = False

    async def start(self) -> None:
        """Opens the store; an unavailable one is retried in the background."""
        try:
            await self._ready()
        except StoreError as error:
            self._failed("open", error)
        self._started = True
        self._loops.start("store-writer", self._write_all)
        self._loops.start("store-pruner", self._prune_hourly)

    async def flush(self, timeout_s: float) -> int:
        """Waits up to `timeout_s` seconds for the writes; returns how many turns and summaries are not written."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._writes.join()
        return self._unwritten

    async def close(self, within_s: float) -> None:
        """Writes what is queued, within `within_s` seconds, and closes the store."""
        if not self._started:
            return
        self._started = False
        lost = await self.flush(within_s)
        await self._loops.close()
        if lost:
            metrics.STORE_LOST.inc(lost)
            log.error("the store of sessions is unavailable; turns are lost", lost=lost)
        with suppress(StoreError):
            await self.store.close()

    async def read(self, read: Callable[[], Awaitable[T]]) -> T:
        """Reads from the store after all earlier writes.

        Raises:
            Unavailable: the store is unavailable, or the record is corrupt.
        """
        try:
            async with asyncio.timeout(READ_S):
                await self._writes.join()
                await self._ready()
                answer = await read()
        except (StoreError, TimeoutError) as error:
            if isinstance(error, CorruptRecord):
                log.error("a kept session cannot be read", reason=str(error))
            else:
                self._failed("read", error)
            raise Unavailable(STORE, "sessions cannot be read now", hint="see the gateway's log") from error
        self._recovered()
        return answer

    def enqueue(self, write: Write, *, worth: int) -> None:
        """Queues a write.  `worth` is 1 if a turn or a summary is lost without it, else 0."""
        try:
            self._writes.put_nowait((write, worth))
            self._unwritten += worth
        except asyncio.QueueFull:
            metrics.STORE_LOST.inc(worth)

    async def prune(self) -> None:
        """Deletes expired sessions and those beyond the limits.

        Raises:
            StoreError: the store is unavailable.
        """
        pruned = await self.store.prune(self._clock())
        metrics.STORE_DROPPED.labels("expired").inc(pruned.expired)
        metrics.STORE_DROPPED.labels("sessions").inc(pruned.dropped)
        if pruned.dropped:
            log.warning("the store of sessions is full; the oldest sessions are dropped", dropped=pruned.dropped)

    # --- Loops --------------------------------------------------------------------------------------------------------

    async def _write_all(self) -> None:
        """Writes forever, in order.  A write that fails unexpectedly is lost, and the next one is tried."""
        while True:
            write, worth = await self._writes.get()
            try:
                await self._write(write)
            except Exception:
                metrics.STORE_LOST.inc(worth)
                self._written(worth)
                raise
            self._written(worth)

    def _written(self, worth: int) -> None:
        self._unwritten -= worth
        self._writes.task_done()

    async def _write(self, write: Write) -> None:
        """Writes, and retries while the store is unavailable."""
        while True:
            try:
                await self._ready()
                await write()
            except CorruptRecord:
                raise
            except StoreError as error:
                self._failed("write", error)
                await asyncio.sleep(RETRY_S)
            else:
                self._recovered()
                return

    async def _prune_hourly(self) -> None:
        while True:
            await self._sleep(PRUNE_S)
            try:
                await self._ready()
                await self.prune()
            except StoreError as error:
                self._failed("prune", error)

    # --- Health -------------------------------------------------------------------------------------------------------

    async def _ready(self) -> None:
        async with self._opening:
            if not self._opened:
                await self.store.open()
                self._opened = True

    def _failed(self, doing: str, error: Exception) -> None:
        metrics.STORE_FAILURES.labels(doing).inc()
        if self._away:  # retried every second; one log line is enough
            return
        log.warning("the store of sessions failed", doing=doing, reason=str(error) or type(error).__name__)
        self._away = True
        self._note(STORE, "cannot be reached; sessions are kept in memory until it is back")
        if doing != "write":  # a write is retried anyway
            self.enqueue(self._probe, worth=0)

    async def _probe(self) -> None:
        await self.store.load("")

    def _recovered(self) -> None:
        if self._away:
            log.info("the store of sessions is back")
            self._away = False
            self._note(STORE, "")

    def _note(self, part: str, problem: str) -> None:
        """Reports the problems of the store and of the loops that serve it."""
        self._problems[part] = problem
        self._report("; ".join(filter(None, self._problems.values())))
