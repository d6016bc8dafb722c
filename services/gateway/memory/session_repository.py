"""The sessions of one gateway: opened, written without making a turn wait, exported and deleted."""

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
from services.gateway.memory.access import CLOSE_S, StoreAccess
from services.gateway.memory.hold import Hold, Listener, denied, hash_token, is_token, new_token
from services.gateway.memory.store import Claimed, KeptSession, KeptTurn, Role, Store, new_id

log = structlog.get_logger()


class SessionRepository:
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
        self._clock = clock
        self._access = StoreAccess(store, tell, clock=clock, sleep=sleep) if store is not None else None
        self._open: set[Hold] = set()

    @property
    def keeps(self) -> bool:
        """Whether sessions are kept at all."""
        return self._access is not None

    async def start(self) -> None:
        """Opens the store.  One that is away is waited for in the background."""
        if self._access is not None:
            await self._access.start()

    async def flush(self, timeout_s: float) -> int:
        """Waits until all that was said so far is written, at most `timeout_s`.

        Returns how many turns and summaries are not written.
        """
        return await self._access.flush(timeout_s) if self._access is not None else 0

    async def close(self, within_s: float = CLOSE_S) -> None:
        """Writes what waits, for `within_s` seconds at most, and closes the store."""
        if self._access is not None:
            await self._access.close(within_s)

    # --- Open sessions ------------------------------------------------------------------------------------------------

    def hold(self, listener: Listener, session_id: str, token: str, *, fresh: bool) -> Hold:
        """Makes a hold on a session, which lasts until `leave`.

        Args:
            listener: learns what happens to the session.
            session_id: the name.
            token: what the caller sent; empty: a new one is made.
            fresh: whether this gateway has just made the name, so that nothing can be kept of it.
        """
        if self._access is None:
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
        if (access := self._access) is None or hold.claimed is not None:
            return KeptSession()
        if not is_token(hold.token):
            raise denied()
        hold.since, opened = math.inf, hold.since  # it is opened now: what was deleted before does not matter
        try:
            kept = await access.ask(lambda: self._claim(access, hold))
        except Unavailable:
            hold.since = opened
            access.later(partial(self._refresh, access, hold), worth=0)
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
        if (access := self._access) is not None:
            access.later(partial(self._append, access, hold, turn), worth=1)
        return turn.uid

    def set_summary(self, hold: Hold, summary: str, summarized: int) -> None:
        """Keeps the summary of a session's turns up to number `summarized`."""
        if (access := self._access) is not None:
            access.later(partial(self._set_summary, access, hold, summary, summarized), worth=1)

    def refresh(self, hold: Hold) -> None:
        """Has the listener merge what is kept, soon."""
        if (access := self._access) is not None:
            access.later(partial(self._refresh, access, hold), worth=0)

    async def current(self, hold: Hold) -> KeptSession | None:
        """Returns what is kept of an open session, all its turns so far included; None: it is kept nowhere.

        Raises:
            Unavailable: the store is away.
        """
        if (access := self._access) is None:
            return None
        return await access.ask(lambda: self._current(access, hold))

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
        access = self._needed()
        store = access.store

        async def export() -> KeptSession:
            kept = await store.load(session_id, after=after, limit=limit)
            if kept is not None and _matches(kept, token):
                return kept
            await self._check_deleted(store, session_id, token)
            return KeptSession()

        return await access.ask(export)

    async def delete(self, session_id: str, token: str) -> int:
        """Forgets a session, also where it is open; returns how many turns were kept.  Errors as in `export`."""
        access = self._needed()
        store = access.store
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

        turns = await access.ask(delete)
        for hold in holds:
            self._forget(hold)
        return turns

    async def _check_deleted(self, store: Store, session_id: str, token: str) -> None:
        """Raises PermissionDenied unless the session was the caller's until it was deleted."""
        if not await store.deleted(session_id, hash_token(token)):
            raise denied()

    def _needed(self) -> StoreAccess:
        if self._access is None:
            raise Unsupported("this gateway keeps no sessions", hint="set GATEWAY_SESSION_STORE")
        return self._access

    # --- Writes -------------------------------------------------------------------------------------------------------

    async def _append(self, access: StoreAccess, hold: Hold, turn: KeptTurn) -> None:
        if not await self._claimed(access, hold) or hold.claimed is None:
            metrics.STORE_STALE.labels(hold.gone).inc()
            return
        appended = await access.store.append(hold.session_id, hold.claimed, turn, last=hold.last)
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
            await access.prune()

    async def _set_summary(self, access: StoreAccess, hold: Hold, summary: str, summarized: int) -> None:
        if hold.claimed is None or hold.gone:
            return
        if not await access.store.set_summary(hold.session_id, hold.claimed.generation, summary, summarized):
            await self._refresh(access, hold)  # another connection was faster

    async def _refresh(self, access: StoreAccess, hold: Hold) -> None:
        if kept := await self._current(access, hold):
            hold.listener.merge(hold, kept)

    async def _claimed(self, access: StoreAccess, hold: Hold) -> bool:
        """Claims the name of a session that was opened while the store was away, and merges what is kept of it."""
        if hold.gone:
            return False
        if hold.claimed is None and (kept := await self._claim(access, hold)):
            hold.listener.merge(hold, kept)
        return hold.claimed is not None

    async def _claim(self, access: StoreAccess, hold: Hold) -> KeptSession | None:
        """Claims a name; returns what is kept of it, None where it is somebody else's or was deleted meanwhile."""
        claimed = await access.store.claim(hold.session_id, hold.secret, since=hold.since, now=self._clock())
        if claimed is None:
            self._forget(hold)
            return None
        if not hmac.compare_digest(claimed.secret, hold.secret):
            self._refuse(hold)
            return None
        kept = await access.store.load(hold.session_id) or KeptSession()
        hold.claimed, hold.last = claimed, kept.turns[-1].number if kept.turns else kept.summarized
        return kept

    async def _current(self, access: StoreAccess, hold: Hold) -> KeptSession | None:
        if not await self._claimed(access, hold) or hold.claimed is None:
            return None
        kept = await access.store.load(hold.session_id)
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


def _matches(kept: KeptSession, token: str) -> bool:
    return bool(kept.secret) and hmac.compare_digest(kept.secret, hash_token(token))
