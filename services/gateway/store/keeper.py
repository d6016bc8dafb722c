"""Keeps sessions without making a turn wait: writes are queued, and tried again while the store is away."""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog

from oviya.errors import Unavailable, Unsupported
from oviya.mesh.background import BackgroundLoops
from oviya.mesh.logs import log_id
from services.gateway import metrics
from services.gateway.store.base import BadRecord, Claimed, KeptSession, KeptTurn, Role, Store, StoreError, new_id
from services.gateway.store.hold import Hold, Listener, denied, hash_token, is_token, new_token

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
PRUNE_S = 3600.0
"""Time in seconds between two searches for sessions that are too old."""

Write = Callable[[Store], Awaitable[None]]


class Keeper:
    """The sessions of one gateway.

    Args:
        store: where they are kept; None: nowhere, and sessions end with their connection.
        tell: takes what is wrong with the store; empty: nothing any more.
        clock: the present time in seconds since 1970.
        sleep: waits for a time in seconds.
    """

    def __init__(
        self,
        store: Store | None,
        tell: Callable[[str], None] = lambda problem: None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._loops = BackgroundLoops(self._note)
        self._problems: dict[str, str] = {}
        self._writes: asyncio.Queue[tuple[Write, int]] = asyncio.Queue(MAX_WAITING_WRITES)
        self._unwritten = 0  # turns and summaries in the queue and in hand
        self._open: set[Hold] = set()
        self._opening = asyncio.Lock()
        self._opened = False
        self._away = False
        self._started = False

    @property
    def keeps(self) -> bool:
        """Whether sessions are kept at all."""
        return self._store is not None

    async def start(self) -> None:
        """Opens the store.  One that is away is waited for in the background."""
        if (store := self._store) is None:
            return
        try:
            await self._ready(store)
        except StoreError as error:
            self._failed("open", error)
        self._started = True
        self._loops.start("store-writer", partial(self._write_all, store))
        self._loops.start("store-pruner", partial(self._prune_hourly, store))

    async def flush(self, timeout_s: float) -> int:
        """Waits until all that was said so far is written, at most `timeout_s`; returns what is not."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._writes.join()
        return self._unwritten

    async def close(self) -> None:
        """Writes what waits, within `CLOSE_S`, and closes the store."""
        if self._store is None or not self._started:
            return
        self._started = False
        lost = await self.flush(CLOSE_S)
        await self._loops.close()
        if lost:
            metrics.STORE_LOST.inc(lost)
            log.error("the store is away; turns are lost", lost=lost)
        with suppress(StoreError):
            await self._store.close()

    # --- Open sessions ------------------------------------------------------------------------------------------------

    def hold(self, listener: Listener, session_id: str, token: str, *, fresh: bool) -> Hold:
        """Makes a hold on a session, which lasts until `leave`.

        Args:
            listener: learns what happens to the session.
            session_id: the name.
            token: what the caller sent; empty: a new one is made.
            fresh: whether this gateway has just made the name, so that nothing can be kept of it.
        """
        if self._store is None:
            return Hold(session_id, "", listener, self._clock())
        hold = Hold(session_id, token or new_token(), listener, self._clock())
        if fresh:
            hold.claimed = Claimed(new_id(), hold.secret)
        self._open.add(hold)
        return hold

    async def open(self, hold: Hold) -> KeptSession:
        """Returns what is kept of an opening session.

        Raises:
            PermissionDenied: the name is taken, and the token is not the one that it is bound to.
            Unavailable: the store is away; what is kept is merged into the listener once it is back.
        """
        if (store := self._store) is None or hold.claimed is not None:
            return KeptSession()
        if not is_token(hold.token):
            raise denied()
        hold.since, opened = math.inf, hold.since  # it is opened now: what was deleted before does not matter
        try:
            kept = await self._ask(lambda: self._claim(store, hold))
        except Unavailable:
            hold.since = opened
            self._later(partial(self._refresh, hold), worth=0)
            raise
        if kept is None:
            raise denied()
        return kept

    def leave(self, hold: Hold) -> None:
        """Says that a connection has ended."""
        self._open.discard(hold)

    def renew(self, hold: Hold) -> Hold:
        """Replaces the hold of a session that was deleted: what is said from now on is a new session."""
        after = Hold(hold.session_id, hold.token, hold.listener, math.inf)
        if hold in self._open:
            self._open.discard(hold)
            self._open.add(after)
        return after

    def add(self, hold: Hold, role: Role, text: str) -> str:
        """Keeps a turn that is just over; returns its uid, by which the listener learns its number."""
        turn = KeptTurn(self._clock(), role, text)
        if self._store is not None:
            self._later(partial(self._append, hold, turn), worth=1)
        return turn.uid

    def set_summary(self, hold: Hold, summary: str, summarized: int) -> None:
        """Keeps the summary of a session's turns up to number `summarized`."""
        if self._store is not None:
            self._later(partial(self._set_summary, hold, summary, summarized), worth=1)

    def refresh(self, hold: Hold) -> None:
        """Has the listener merge what is kept, soon."""
        if self._store is not None:
            self._later(partial(self._refresh, hold), worth=0)

    async def current(self, hold: Hold) -> KeptSession | None:
        """Returns what is kept of an open session, all its turns so far included; None: it is kept nowhere.

        Raises:
            Unavailable: the store is away.
        """
        if (store := self._store) is None:
            return None
        return await self._ask(lambda: self._current(store, hold))

    # --- Callers' requests --------------------------------------------------------------------------------------------

    async def export(self, session_id: str, token: str, *, after: int = 0, limit: int = 0) -> KeptSession:
        """Returns what is kept of a session.

        Args:
            session_id: its name.
            token: its token.
            after: only turns with a higher number.
            limit: most turns; 0: all.

        Raises:
            PermissionDenied: there is no such session, or it has another token.
            Unsupported: no sessions are kept.
            Unavailable: the store is away.
        """
        store = self._needed()

        async def export() -> KeptSession:
            kept = await store.load(session_id, after=after, limit=limit)
            if kept is not None and _matches(kept, token):
                return kept
            await self._check_deleted(store, session_id, token)
            return KeptSession()

        return await self._ask(export)

    async def delete(self, session_id: str, token: str) -> int:
        """Forgets a session, also where it is open; returns how many turns were kept.  Errors as in `export`."""
        store = self._needed()
        holds = [hold for hold in self._open if hold.session_id == session_id and hold.token == token]

        async def delete() -> int:
            while True:
                kept = await store.load(session_id, limit=1)
                if kept is None or not _matches(kept, token):
                    await self._check_deleted(store, session_id, token)
                    return 0
                turns = await store.delete(session_id, Claimed(kept.generation, kept.secret), now=self._clock())
                if turns is not None:  # else somebody deleted it and began again in between
                    return turns

        turns = await self._ask(delete)
        for hold in holds:
            self._forget(hold)
        return turns

    async def _check_deleted(self, store: Store, session_id: str, token: str) -> None:
        """Raises PermissionDenied unless the session was the caller's until it was deleted."""
        if not await store.deleted(session_id, hash_token(token)):
            raise denied()

    def _needed(self) -> Store:
        if self._store is None:
            raise Unsupported("this gateway keeps no sessions", hint="set GATEWAY_SESSION_STORE")
        return self._store

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks the store, after all that is to be written before."""
        try:
            async with asyncio.timeout(READ_S):
                await self._writes.join()
                await self._ready(self._needed())
                answer = await ask()
        except (StoreError, TimeoutError) as error:
            if isinstance(error, BadRecord):
                log.error("a kept session cannot be read", reason=str(error))
            else:
                self._failed("read", error)
            raise Unavailable(STORE, "sessions cannot be read now", hint="the gateway's log has the reason") from error
        self._recovered()
        return answer

    # --- Writes -------------------------------------------------------------------------------------------------------

    async def _append(self, hold: Hold, turn: KeptTurn, store: Store) -> None:
        if not await self._claimed(store, hold) or hold.claimed is None:
            metrics.STORE_STALE.labels(hold.gone).inc()
            return
        appended = await store.append(hold.session_id, hold.claimed, turn, last=hold.last)
        metrics.STORE_DROPPED.labels("turns").inc(appended.dropped)
        if appended.outcome == "kept":
            hold.last = max(hold.last, appended.number)
            hold.listener.numbered(hold, turn.uid, appended.number)
        else:
            metrics.STORE_STALE.labels(appended.outcome).inc()
            if appended.outcome == "deleted":
                self._forget(hold)
            else:
                self._refuse(hold)
        if appended.full:
            await self._prune(store)

    async def _set_summary(self, hold: Hold, summary: str, summarized: int, store: Store) -> None:
        if hold.claimed is None or hold.gone:
            return
        if not await store.set_summary(hold.session_id, hold.claimed.generation, summary, summarized):
            await self._refresh(hold, store)  # another connection was faster

    async def _refresh(self, hold: Hold, store: Store) -> None:
        if kept := await self._current(store, hold):
            hold.listener.merge(hold, kept)

    async def _claimed(self, store: Store, hold: Hold) -> bool:
        """Claims the name of a session that was opened while the store was away, and merges what is kept of it."""
        if hold.gone:
            return False
        if hold.claimed is None and (kept := await self._claim(store, hold)):
            hold.listener.merge(hold, kept)
        return hold.claimed is not None

    async def _claim(self, store: Store, hold: Hold) -> KeptSession | None:
        """Claims a name; returns what is kept of it, None where it is somebody else's or was deleted meanwhile."""
        claimed = await store.claim(hold.session_id, hold.secret, since=hold.since, now=self._clock())
        if claimed is None:
            self._forget(hold)
            return None
        if not hmac.compare_digest(claimed.secret, hold.secret):
            self._refuse(hold)
            return None
        kept = await store.load(hold.session_id) or KeptSession()
        hold.claimed, hold.last = claimed, kept.turns[-1].number if kept.turns else kept.summarized
        return kept

    async def _current(self, store: Store, hold: Hold) -> KeptSession | None:
        if not await self._claimed(store, hold) or hold.claimed is None:
            return None
        kept = await store.load(hold.session_id)
        return kept if kept is not None and kept.generation == hold.claimed.generation else None

    def _forget(self, hold: Hold) -> None:
        if hold.gone != "deleted":
            hold.gone = "deleted"
            hold.listener.forget(hold)

    def _refuse(self, hold: Hold) -> None:
        """Keeps nothing more of a connection whose session's name is somebody else's."""
        hold.gone = "taken"
        log.warning("the name of a session is bound to another token; nothing more of it is kept",
                    session=log_id(hold.session_id))  # fmt: skip

    def _later(self, write: Write, *, worth: int) -> None:
        """Queues a write.  `worth` is 1 where something would be lost without it."""
        try:
            self._writes.put_nowait((write, worth))
            self._unwritten += worth
        except asyncio.QueueFull:
            metrics.STORE_LOST.inc(worth)

    async def _write_all(self, store: Store) -> None:
        """Writes for ever, in order.  A write that fails in an unforeseen way is lost; the next one is tried."""
        while True:
            write, worth = await self._writes.get()
            try:
                await self._write(store, write)
            except Exception:
                metrics.STORE_LOST.inc(worth)
                self._written(worth)
                raise
            self._written(worth)

    def _written(self, worth: int) -> None:
        self._unwritten -= worth
        self._writes.task_done()

    async def _write(self, store: Store, write: Write) -> None:
        """Writes, trying again while the store is away."""
        while True:
            try:
                await self._ready(store)
                await write(store)
            except BadRecord:
                raise
            except StoreError as error:
                self._failed("write", error)
                await asyncio.sleep(RETRY_S)
            else:
                self._recovered()
                return

    async def _prune_hourly(self, store: Store) -> None:
        while True:
            await self._sleep(PRUNE_S)
            try:
                await self._ready(store)
                await self._prune(store)
            except StoreError as error:
                self._failed("prune", error)

    async def _prune(self, store: Store) -> None:
        pruned = await store.prune(self._clock())
        metrics.STORE_DROPPED.labels("expired").inc(pruned.expired)
        metrics.STORE_DROPPED.labels("sessions").inc(pruned.dropped)
        if pruned.dropped:
            log.warning("the store of sessions is full; the oldest are dropped", dropped=pruned.dropped)

    # --- Health -------------------------------------------------------------------------------------------------------

    async def _ready(self, store: Store) -> None:
        async with self._opening:
            if not self._opened:
                await store.open()
                self._opened = True

    def _failed(self, doing: str, error: Exception) -> None:
        metrics.STORE_FAILURES.labels(doing).inc()
        if self._away:  # it is tried again every second: once in the log is enough
            return
        log.warning("the store of sessions failed", doing=doing, reason=str(error) or type(error).__name__)
        self._away = True
        self._note(STORE, "cannot be reached; sessions are kept in memory until it is back")
        if doing != "write":  # which is tried again until it works
            self._later(_probe, worth=0)

    def _recovered(self) -> None:
        if self._away:
            log.info("the store of sessions is back")
            self._away = False
            self._note(STORE, "")

    def _note(self, part: str, problem: str) -> None:
        """Tells what is wrong with the store and the loops that serve it."""
        self._problems[part] = problem
        self._tell("; ".join(filter(None, self._problems.values())))


async def _probe(store: Store) -> None:
    await store.load("")


def _matches(kept: KeptSession, token: str) -> bool:
    return bool(kept.secret) and hmac.compare_digest(kept.secret, hash_token(token))
