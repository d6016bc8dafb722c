"""Keeps sessions without making a turn wait: writes are queued, and tried again while the store is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from oviya.errors import OviyaError, Unavailable, Unsupported
from services.gateway import metrics
from services.gateway.store.base import KeptSession, KeptTurn, Role, Store, StoreError
from services.gateway.store.redis import RedisStore
from services.gateway.store.sqlite import SqliteStore

log = structlog.get_logger()

T = TypeVar("T")

STORE = "store"
"""Its name where services are named: in readiness, in degraded modes."""
MAX_WAITING_WRITES = 10_000
"""Writes that wait for a store that is away: hours of some hundred sessions.  More are lost, and counted."""
RETRY_S = 1.0
READ_S = 2.0
"""Longest time in seconds for a session to be read, at its start among others: somebody waits."""
CLOSE_S = 5.0
"""Longest time in seconds for what still has to be written when the gateway stops."""

Write = Callable[[], Awaitable[None]]


class Forgetful(Protocol):
    """An open session's memory."""

    session_id: str

    def forget(self) -> None:
        """Forgets all turns and the summary."""
        ...


class Keeper:
    """The sessions of one gateway.

    Args:
        store: where they are kept; None: nowhere, and sessions end with their connection.
        tell: takes what is wrong with the store; empty: nothing any more.
    """

    def __init__(self, store: Store | None, tell: Callable[[str], None] = lambda problem: None) -> None:
        self._store = store
        self._tell = tell
        self._writes: asyncio.Queue[Write] = asyncio.Queue(MAX_WAITING_WRITES)
        self._writing: asyncio.Task[None] | None = None
        self._open: set[Forgetful] = set()
        self._opened = False
        self._in_hand = 0  # writes that were taken from the queue and are not done
        self._away = False

    async def start(self) -> None:
        """Opens the store.  One that is away is waited for in the background."""
        if self._store is not None:
            try:
                await self._ready(self._store)
            except StoreError as error:
                self._failed("open", error)
            self._writing = asyncio.create_task(self._write_all(self._store))

    async def close(self, within_s: float = CLOSE_S) -> None:
        """Writes what waits, for `within_s` seconds at the most, and closes the store."""
        if self._store is None or self._writing is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._writes.join()
        self._writing.cancel()
        with suppress(asyncio.CancelledError):
            await self._writing
        if lost := self._writes.qsize() + self._in_hand:
            metrics.STORE_LOST.inc(lost)
            log.error("the store is away; turns are lost", lost=lost)
        with suppress(StoreError):
            await self._store.close()

    async def load(self, memory: Forgetful) -> KeptSession:
        """Returns what is kept of an opening session, and remembers that it is open until `leave`.

        Raises:
            Unavailable: the store is away.
        """
        self._open.add(memory)
        if self._store is None:
            return KeptSession()
        store = self._store
        return await self._ask(lambda: store.load(memory.session_id))

    def leave(self, memory: Forgetful) -> None:
        """Says that a session has ended."""
        self._open.discard(memory)

    def add(self, session_id: str, role: Role, text: str) -> None:
        """Keeps a turn that is just over."""
        if (store := self._store) is not None:
            turn = KeptTurn(time.time(), role, text)
            self._later(lambda: store.append(session_id, turn))

    def set_summary(self, session_id: str, summary: str, summarized: int) -> None:
        """Keeps the summary of a session's oldest `summarized` turns."""
        if (store := self._store) is not None:
            self._later(lambda: store.set_summary(session_id, summary, summarized))

    async def export(self, session_id: str) -> KeptSession:
        """Returns all that is kept of a session.

        Raises:
            Unsupported: no sessions are kept.
            Unavailable: the store is away.
        """
        store = self._needed()
        return await self._ask(lambda: store.load(session_id))

    async def delete(self, session_id: str) -> int:
        """Forgets a session, also where it is open here; returns how many turns were kept.

        Raises:
            Unsupported: no sessions are kept.
            Unavailable: the store is away.
        """
        store = self._needed()
        deleted = await self._ask(lambda: store.delete(session_id))
        for memory in self._open:
            if memory.session_id == session_id:
                memory.forget()
        return deleted

    def _needed(self) -> Store:
        if self._store is None:
            raise Unsupported("this gateway keeps no sessions", hint="set GATEWAY_SESSION_STORE")
        return self._store

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks the store, after all that is to be written before."""
        try:
            async with asyncio.timeout(READ_S):
                await self._writes.join()
                return await ask()
        except (StoreError, TimeoutError) as error:
            self._failed("read", error)
            raise Unavailable(STORE, "sessions cannot be read now", hint="the gateway's log has the reason") from error

    def _later(self, write: Write) -> None:
        try:
            self._writes.put_nowait(write)
        except asyncio.QueueFull:
            metrics.STORE_LOST.inc()

    async def _write_all(self, store: Store) -> None:
        """Writes for ever, in order; a write that fails is tried again."""
        while True:
            write = await self._writes.get()
            self._in_hand = 1
            await self._write(store, write)
            self._in_hand = 0
            self._writes.task_done()

    async def _write(self, store: Store, write: Write) -> None:
        while True:
            try:
                await self._ready(store)
                await write()
            except StoreError as error:
                self._failed("write", error)
                await asyncio.sleep(RETRY_S)
            else:
                if self._away:
                    log.info("the store of sessions is back")
                    self._away = False
                    self._tell("")
                return

    async def _ready(self, store: Store) -> None:
        if not self._opened:
            await store.open()
            self._opened = True

    def _failed(self, doing: str, error: Exception) -> None:
        metrics.STORE_FAILURES.labels(doing).inc()
        if not self._away:  # it is tried again every second: once in the log is enough
            log.warning("the store of sessions failed", doing=doing, reason=str(error) or type(error).__name__)
            self._away = True
            self._tell("cannot be reached; sessions are kept in memory until it is back")


def make_store(where: str, *, keep_days: float) -> Store | None:
    """Makes the store of a setting: a Redis URL, the path of a SQLite file, or empty for none.

    Raises:
        OviyaError: it cannot be used.
    """
    if not where:
        return None
    if where.startswith(("redis://", "rediss://")):
        return RedisStore(where, keep_days=keep_days)
    if "://" in where:
        raise OviyaError(f"GATEWAY_SESSION_STORE={where} cannot be used", hint="name a file, or redis://host:6379/0")
    path = Path(where)
    if not path.parent.is_dir():
        raise OviyaError(f"GATEWAY_SESSION_STORE={where}: there is no folder {path.parent}", hint="make it first")
    return SqliteStore(path, keep_days=keep_days)
