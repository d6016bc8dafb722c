"""The memory of a session: the newest turns word for word, the older ones as a summary."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from oviya.errors import OviyaError, Unavailable
from oviya.mesh.redaction import log_id
from oviya.tasks import cancel_and_wait
from oviya.v1 import brain_pb2
from services.gateway import metrics
from services.gateway.memory.session_handle import SessionHandle
from services.gateway.memory.session_repository import SessionRepository
from services.gateway.memory.store import KeptSession, Role

log = structlog.get_logger()

MAX_TURN_CHARS = 8192
"""Longest turn that the brain accepts (protos/oviya/v1/brain.proto)."""
MAX_TURNS = 400
"""Maximum number of turns that the brain accepts; more exist only while no summary can be made."""

ROLES: dict[Role, brain_pb2.Role.ValueType] = {"user": brain_pb2.ROLE_USER, "assistant": brain_pb2.ROLE_ASSISTANT}

Summarize = Callable[[brain_pb2.SummarizeRequest], Awaitable[brain_pb2.SummarizeResponse]]


@dataclass(eq=False, slots=True)
class _Entry:
    """A turn, its uid, and its number in the store; 0: none yet."""

    turn: brain_pb2.Turn
    uid: str
    number: int = 0


class Memory:
    """The turns of one connection's session.

    Turns beyond the newest `verbatim` are summarized in batches, in the background.  Until the summary is ready, the
    brain gets them word for word, so that nothing is missing.

    Where sessions are kept, the store is authoritative and this is a copy of its end: turns of other connections under
    the same name are merged, and summaries are made of what the store holds.  While the store is unavailable, the
    memory works alone and writes no summary; once it is back, both are merged.

    Args:
        verbatim: turns that are kept word for word, counting both sides; 0: nothing is remembered.
        token: the token of an earlier session, from the caller; empty: none.
        fresh: whether the gateway has just made the name.
    """

    def __init__(
        self,
        session_id: str,
        repository: SessionRepository,
        summarize: Summarize,
        *,
        verbatim: int,
        token: str = "",
        fresh: bool = False,
    ) -> None:
        self.session_id = session_id
        self.summary = ""
        """Summary of the turns before `turns`."""
        self._repository = repository
        self._summarize = summarize
        self._verbatim = verbatim
        self._handle = repository.register(self, session_id, token, fresh=fresh)
        self._entries: list[_Entry] = []
        self._unkept: list[_Entry] = []  # without a number, in order; including summarized ones
        self._summarized = 0  # number of the last turn that the store's summary covers
        self._newest = 0  # highest known number
        self._asked: SessionHandle | None = None  # handle of the user's last turn
        self._summarizing: asyncio.Task[None] | None = None

    @property
    def resume_token(self) -> str:
        """The token by which the caller can resume the session; empty: it is not kept."""
        return self._handle.token

    async def load(self) -> None:
        """Loads what is kept of the session.

        Raises:
            PermissionDenied: the session belongs to another caller.
            Unavailable: the store is unavailable; the session starts empty, and is merged once the store is back.
        """
        self.merge(self._handle, await self._repository.open(self._handle))

    async def close(self) -> None:
        """Ends the session; what is kept of it stays in the store."""
        self._repository.release(self._handle)
        await cancel_and_wait(self._summarizing)

    def add_user(self, text: str) -> None:
        """Remembers what the user said."""
        self._asked = self._handle
        self._add("user", text)

    def add_reply(self, sentences: Sequence[str]) -> None:
        """Remembers the sentences of a reply that the user heard, unless the turn that it answers was deleted since."""
        if self._asked is None or self._asked is self._handle:
            self._add("assistant", " ".join(sentences))

    def turns(self) -> list[brain_pb2.Turn]:
        """Returns the turns that the summary does not cover, oldest first."""
        return [entry.turn for entry in self._entries]

    def _add(self, role: Role, text: str) -> None:
        text = text.strip()[:MAX_TURN_CHARS]
        if not text:
            return
        uid = self._repository.add(self._handle, role, text)
        if not self._verbatim:
            return
        entry = _Entry(brain_pb2.Turn(role=ROLES[role], text=text), uid)
        self._entries.append(entry)
        if self._repository.keeps:
            self._unkept = [*self._unkept[-MAX_TURNS:], entry]
        self._drop_surplus()

    def _drop_surplus(self) -> None:
        if surplus := max(0, len(self._entries) - MAX_TURNS):
            del self._entries[:surplus]
            metrics.FORGOTTEN_TURNS.inc(surplus)

    # --- SessionObserver: called by the repository --------------------------------------------------------------------

    def numbered(self, handle: SessionHandle, uid: str, number: int) -> None:
        """Records the number of a kept turn.  A gap before it means that another connection wrote turns in between."""
        if handle is not self._handle or not self._verbatim:
            return
        if number > self._newest + 1:
            self._repository.refresh(handle)
        self._newest = max(self._newest, number)
        for entry in self._unkept:
            if entry.uid == uid:
                entry.number = number
                self._unkept.remove(entry)
                return

    def merge(self, handle: SessionHandle, kept: KeptSession) -> None:
        """Merges what is kept: its summary if it covers more, its turns, and after them those that are not kept yet."""
        if handle is not self._handle or not self._verbatim:
            return
        if kept.summarized > self._summarized or not self._summarized:
            self.summary, self._summarized = kept.summary or self.summary, kept.summarized
        known = {entry.uid: entry for entry in (*self._entries, *self._unkept)}
        merged: dict[int, _Entry] = {entry.number: entry for entry in self._entries if entry.number}
        for turn in kept.turns:
            entry = known.get(turn.uid) or _Entry(brain_pb2.Turn(role=ROLES[turn.role], text=turn.text), turn.uid)
            entry.number = turn.number
            merged[turn.number] = entry
        self._unkept = [entry for entry in self._unkept if not entry.number]
        self._newest = max(self._newest, kept.summarized, *merged, 0)
        self._entries = [merged[number] for number in sorted(merged) if number > self._summarized] + self._unkept
        self._drop_surplus()

    def forget(self, handle: SessionHandle) -> None:
        """Forgets everything; later turns belong to a new session under the same name."""
        if handle is not self._handle:
            return
        self._entries, self._unkept, self.summary = [], [], ""
        self._summarized = self._newest = 0
        self._handle = self._repository.renew(handle)

    # --- Summaries ----------------------------------------------------------------------------------------------------

    def shorten(self) -> None:
        """Starts a summary of the oldest turns if enough of them exceed what is kept word for word.

        Call it when the brain has finished a reply, which is then spoken for some seconds: a model that handles one
        request at a time is not needed for both at once.
        """
        older = self._older()
        if older and (self._summarizing is None or self._summarizing.done()):
            self._summarizing = asyncio.create_task(self._summarize_oldest(self._entries[:older]))

    def _older(self) -> int:
        """Returns how many of the oldest turns to summarize now."""
        older = len(self._entries) - self._verbatim
        while 0 < older < len(self._entries) and self._entries[older].turn.role != brain_pb2.ROLE_USER:
            older -= 1  # a reply stays with the turn that it answers
        return older if older >= max(2, self._verbatim // 2) else 0

    async def _summarize_oldest(self, oldest: list[_Entry]) -> None:
        handle = self._handle
        try:
            kept = await self._repository.current(handle)  # including turns of other connections
        except Unavailable:  # the summary is not kept: it may lack turns that the store holds
            kept = None
        if kept is not None:
            self.merge(handle, kept)
            oldest = self._entries[: self._older()]
        if handle is not self._handle or not oldest:
            return
        request = brain_pb2.SummarizeRequest(
            session_id=self.session_id, summary=self.summary, turns=[entry.turn for entry in oldest]
        )
        try:
            made = await self._summarize(request)
        except OviyaError as error:  # the turns stay; the next turn tries again
            metrics.SUMMARIES.labels("failed").inc()
            log.warning(
                "older turns could not be summarized", session=log_id(self.session_id), error=type(error).__name__
            )
            return
        metrics.SUMMARIES.labels("degraded" if made.degraded else "made").inc()
        if handle is not self._handle or self._entries[: len(oldest)] != oldest:
            return  # deleted, or summarized by another connection since
        del self._entries[: len(oldest)]
        self.summary = made.summary
        covered = max(entry.number for entry in oldest)
        if kept is not None and covered > self._summarized:
            self._summarized = covered
            self._repository.set_summary(handle, made.summary, covered)
