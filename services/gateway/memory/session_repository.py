"""The sessions of one gateway: opened, written in the background, exported and deleted."""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from oviya.errors import Unavailable, Unsupported
from oviya.mesh.redaction import log_id
from services.gateway import metrics
from services.gateway.memory.session_handle import (
    SessionHandle,
    SessionObserver,
    denied,
    hash_token,
    is_token,
    new_token,
)
from services.gateway.memory.store import Claim, KeptSession, KeptTurn, Role, Store, new_id
from services.gateway.memory.store_queue import CLOSE_S, StoreQueue

log = structlog.get_logger()


class SessionRepository:
    """The sessions of one gateway.

    Args:
        store: where they are kept; None: they are not kept, and end with their connection.
        report: called with the problem of the store; empty: it works again.
        clock: current time in seconds since 1970.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        store: Store | None,
        report: Callable[[str], None] = lambda problem: None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._queue = StoreQueue(store, report, clock=clock, sleep=sleep) if store is not None else None
        self._open: set[SessionHandle] = set()

    @property
    def keeps(self) -> bool:
        """Whether sessions are kept."""
        return self._queue is not None

    async def start(self) -> None:
        """Opens the store; an unavailable one is retried in the background."""
        if self._queue is not None:
            await self._queue.start()

    async def flush(self, timeout_s: float) -> int:
        """Waits up to `timeout_s` seconds until everything so far is written.

        Returns the number of turns and summaries that are not written.
        """
        return await self._queue.flush(timeout_s) if self._queue is not None else 0

    async def close(self, within_s: float = CLOSE_S) -> None:
        """Writes what is queued, within `within_s` seconds, and closes the store."""
        if self._queue is not None:
            await self._queue.close(within_s)

    # --- Open sessions ------------------------------------------------------------------------------------------------

    def register(self, observer: SessionObserver, session_id: str, token: str, *, fresh: bool) -> SessionHandle:
        """Returns a handle on a session, valid until `release`.

        Args:
            observer: called when the session changes.
            token: what the caller sent; empty: a new token is made.
            fresh: whether this gateway has just made the name, so that nothing can be kept under it.
        """
        if self._queue is None:
            return SessionHandle(session_id, "", observer, self._clock())
        handle = SessionHandle(session_id, token or new_token(), observer, self._clock())
        if fresh:
            handle.claimed = Claim(new_id(), handle.secret)
        self._open.add(handle)
        return handle

    async def open(self, handle: SessionHandle) -> KeptSession:
        """Returns what is kept of a session that opens.

        Raises:
            PermissionDenied: the name is bound to another token.
            Unavailable: the store is unavailable; the observer gets what is kept once the store is back.
        """
        if (queue := self._queue) is None or handle.claimed is not None:
            return KeptSession()
        if not is_token(handle.token):
            raise denied()
        handle.since, opened = math.inf, handle.since  # opened now: earlier deletions do not apply
        try:
            kept = await queue.read(lambda: self._claim(queue, handle))
        except Unavailable:
            handle.since = opened
            queue.enqueue(partial(self._refresh, queue, handle), worth=0)
            raise
        if kept is None:
            raise denied()
        return kept

    def release(self, handle: SessionHandle) -> None:
        """Ends a handle: its connection has ended."""
        self._open.discard(handle)

    def renew(self, handle: SessionHandle) -> SessionHandle:
        """Replaces the handle of a deleted session by one for a new session under the same name."""
        after = SessionHandle(handle.session_id, handle.token, handle.observer, math.inf)
        if handle in self._open:
            self._open.discard(handle)
            self._open.add(after)
        return after

    def add(self, handle: SessionHandle, role: Role, text: str) -> str:
        """Keeps a turn that has just ended; returns its uid, for `SessionObserver.numbered`."""
        turn = KeptTurn(self._clock(), role, text)
        if (queue := self._queue) is not None:
            queue.enqueue(partial(self._append, queue, handle, turn), worth=1)
        return turn.uid

    def set_summary(self, handle: SessionHandle, summary: str, summarized: int) -> None:
        """Keeps the summary of a session's turns up to number `summarized`."""
        if (queue := self._queue) is not None:
            queue.enqueue(partial(self._set_summary, queue, handle, summary, summarized), worth=1)

    def refresh(self, handle: SessionHandle) -> None:
        """Calls the observer's `merge` soon."""
        if (queue := self._queue) is not None:
            queue.enqueue(partial(self._refresh, queue, handle), worth=0)

    async def current(self, handle: SessionHandle) -> KeptSession | None:
        """Returns what is kept of an open session, including all its turns so far; None: it is not kept.

        Raises:
            Unavailable: the store is unavailable.
        """
        if (queue := self._queue) is None:
            return None
        return await queue.read(lambda: self._current(queue, handle))

    # --- Callers' requests --------------------------------------------------------------------------------------------

    async def export(self, session_id: str, token: str, *, after: int = 0, limit: int = 0) -> KeptSession:
        """Returns what is kept of a session.

        Args:
            after: only turns with a higher number are returned.
            limit: maximum number of turns; 0: no limit.

        Raises:
            PermissionDenied: there is no such session, or it has another token.
            Unsupported: sessions are not kept.
            Unavailable: the store is unavailable.
        """
        queue = self._needed()
        store = queue.store

        async def export() -> KeptSession:
            kept = await store.load(session_id, after=after, limit=limit)
            if kept is not None and _matches(kept, token):
                return kept
            await self._check_deleted(store, session_id, token)
            return KeptSession()

        return await queue.read(export)

    async def delete(self, session_id: str, token: str) -> int:
        """Deletes a session, open or not; returns how many turns were kept.  Raises the same errors as `export`."""
        queue = self._needed()
        store = queue.store
        handles = [handle for handle in self._open if handle.session_id == session_id and handle.token == token]

        async def delete() -> int:
            while True:
                kept = await store.load(session_id, limit=1)
                if kept is None or not _matches(kept, token):
                    await self._check_deleted(store, session_id, token)
                    return 0
                turns = await store.delete(session_id, Claim(kept.generation, kept.secret), now=self._clock())
                if turns is not None:  # else it was deleted and opened again in between
                    return turns

        turns = await queue.read(delete)
        for handle in handles:
            self._forget(handle)
        return turns

    async def _check_deleted(self, store: Store, session_id: str, token: str) -> None:
        """Raises PermissionDenied unless the caller had the token of a session that was deleted."""
        if not await store.deleted(session_id, hash_token(token)):
            raise denied()

    def _needed(self) -> StoreQueue:
        if self._queue is None:
            raise Unsupported("this gateway does not keep sessions", hint="set GATEWAY_SESSION_STORE")
        return self._queue

    # --- Writes -------------------------------------------------------------------------------------------------------

    async def _append(self, queue: StoreQueue, handle: SessionHandle, turn: KeptTurn) -> None:
        if not await self._claimed(queue, handle) or handle.claimed is None:
            metrics.STORE_STALE.labels(handle.gone).inc()
            return
        appended = await queue.store.append(handle.session_id, handle.claimed, turn, last=handle.last)
        metrics.STORE_DROPPED.labels("turns").inc(appended.dropped)
        if appended.outcome == "kept":
            handle.last = max(handle.last, appended.number)
            handle.observer.numbered(handle, turn.uid, appended.number)
        else:
            metrics.STORE_STALE.labels(appended.outcome).inc()
            if appended.outcome == "deleted":
                self._forget(handle)
            else:
                self._refuse(handle)
        if appended.full:
            await queue.prune()

    async def _set_summary(self, queue: StoreQueue, handle: SessionHandle, summary: str, summarized: int) -> None:
        if handle.claimed is None or handle.gone:
            return
        if not await queue.store.set_summary(handle.session_id, handle.claimed.generation, summary, summarized):
            await self._refresh(queue, handle)  # another connection was faster

    async def _refresh(self, queue: StoreQueue, handle: SessionHandle) -> None:
        if kept := await self._current(queue, handle):
            handle.observer.merge(handle, kept)

    async def _claimed(self, queue: StoreQueue, handle: SessionHandle) -> bool:
        """Claims the name of a session that was opened while the store was unavailable, and merges what is kept."""
        if handle.gone:
            return False
        if handle.claimed is None and (kept := await self._claim(queue, handle)):
            handle.observer.merge(handle, kept)
        return handle.claimed is not None

    async def _claim(self, queue: StoreQueue, handle: SessionHandle) -> KeptSession | None:
        """Claims a name; returns what is kept under it, None if it is bound to another token or was deleted since."""
        claimed = await queue.store.claim(handle.session_id, handle.secret, since=handle.since, now=self._clock())
        if claimed is None:
            self._forget(handle)
            return None
        if not hmac.compare_digest(claimed.secret, handle.secret):
            self._refuse(handle)
            return None
        kept = await queue.store.load(handle.session_id) or KeptSession()
        handle.claimed, handle.last = claimed, kept.turns[-1].number if kept.turns else kept.summarized
        return kept

    async def _current(self, queue: StoreQueue, handle: SessionHandle) -> KeptSession | None:
        if not await self._claimed(queue, handle) or handle.claimed is None:
            return None
        kept = await queue.store.load(handle.session_id)
        return kept if kept is not None and kept.generation == handle.claimed.generation else None

    def _forget(self, handle: SessionHandle) -> None:
        if handle.gone != "deleted":
            handle.gone = "deleted"
            handle.observer.forget(handle)

    def _refuse(self, handle: SessionHandle) -> None:
        """Stops keeping a connection's turns: the name is bound to another token."""
        handle.gone = "taken"
        log.warning("a session's name is bound to another token; its turns are no longer kept",
                    session=log_id(handle.session_id))  # fmt: skip


def _matches(kept: KeptSession, token: str) -> bool:
    return bool(kept.secret) and hmac.compare_digest(kept.secret, hash_token(token))
