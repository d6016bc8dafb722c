"""What a session remembers of its turns: the newest as they were, the older ones as a summary."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from oviya.errors import OviyaError
from oviya.v1 import brain_pb2
from services.gateway import metrics
from services.gateway.store.base import KeptTurn, Role
from services.gateway.store.keeper import Keeper

log = structlog.get_logger()

MAX_TURN_CHARS = 8192
"""Longest turn that the brain takes (protos/oviya/v1/brain.proto)."""
MAX_TURNS = 400
"""Most turns that the brain takes; more only wait where no summary can be made."""

ROLES: dict[Role, brain_pb2.Role.ValueType] = {"user": brain_pb2.ROLE_USER, "assistant": brain_pb2.ROLE_ASSISTANT}

Summarize = Callable[[brain_pb2.SummarizeRequest], Awaitable[brain_pb2.SummarizeResponse]]


class Memory:
    """The turns of one session.

    Turns beyond the newest `verbatim` are summarized some at a time, in the background: until the summary is there they
    are given to the brain as they were, so that nothing is missing in between.

    Args:
        session_id: name of the session.
        keeper: where it is kept.
        summarize: asks the brain for a summary.
        verbatim: turns that are kept as they were, both sides counted; 0: nothing is remembered.
    """

    def __init__(self, session_id: str, keeper: Keeper, summarize: Summarize, *, verbatim: int) -> None:
        self.session_id = session_id
        self.summary = ""
        """What is worth knowing of the turns before `turns`."""
        self._keeper = keeper
        self._summarize = summarize
        self._verbatim = verbatim
        self._turns: list[brain_pb2.Turn] = []
        self._summarized = 0
        self._summarizing: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Takes up what is kept of the session.

        Raises:
            Unavailable: the store is away; the session begins without.
        """
        kept = await self._keeper.load(self)
        if self._verbatim:
            self.summary, self._summarized = kept.summary, kept.summarized
            self._turns = [_turn(turn) for turn in kept.turns[kept.summarized :]][-MAX_TURNS:]

    async def close(self) -> None:
        """Ends the session; what it remembers stays where it is kept."""
        self._keeper.leave(self)
        if self._summarizing is not None:
            self._summarizing.cancel()
            with suppress(asyncio.CancelledError):
                await self._summarizing

    def add_user(self, text: str) -> None:
        """Remembers what the user said."""
        self._add("user", text)

    def add_reply(self, sentences: Sequence[str]) -> None:
        """Remembers the sentences of a reply that the user heard."""
        self._add("assistant", " ".join(sentences))

    def turns(self) -> list[brain_pb2.Turn]:
        """The turns that the summary does not cover, oldest first."""
        return list(self._turns)

    def forget(self) -> None:
        """Forgets everything."""
        self._turns, self.summary, self._summarized = [], "", 0

    def _add(self, role: Role, text: str) -> None:
        text = text.strip()[:MAX_TURN_CHARS]
        if not text:
            return
        self._keeper.add(self.session_id, role, text)
        if self._verbatim:
            self._turns.append(brain_pb2.Turn(role=ROLES[role], text=text))
        if len(self._turns) > MAX_TURNS:
            del self._turns[0]
            self._summarized += 1
            metrics.FORGOTTEN_TURNS.inc()

    def shorten(self) -> None:
        """Has the oldest turns summarized where enough of them are beyond what is kept as it was.

        A good moment is when the brain has made its reply, which is then spoken for some seconds: a model that can do
        one thing at a time is not asked for both.
        """
        older = len(self._turns) - self._verbatim
        while 0 < older < len(self._turns) and self._turns[older].role != brain_pb2.ROLE_USER:
            older -= 1  # a reply stays with what it answers
        if older >= max(2, self._verbatim // 2) and (self._summarizing is None or self._summarizing.done()):
            self._summarizing = asyncio.create_task(self._summarize_oldest(self._turns[:older]))

    async def _summarize_oldest(self, turns: list[brain_pb2.Turn]) -> None:
        request = brain_pb2.SummarizeRequest(session_id=self.session_id, summary=self.summary, turns=turns)
        try:
            made = await self._summarize(request)
        except OviyaError as error:  # the turns stay as they are, and the next turn tries again
            metrics.SUMMARIES.labels("failed").inc()
            log.warning("no summary", session=self.session_id, error=type(error).__name__)
            return
        metrics.SUMMARIES.labels("degraded" if made.degraded else "made").inc()
        if self._turns[: len(turns)] != turns:
            return  # forgotten meanwhile
        del self._turns[: len(turns)]
        self.summary = made.summary
        self._summarized += len(turns)
        self._keeper.set_summary(self.session_id, self.summary, self._summarized)


def _turn(kept: KeptTurn) -> brain_pb2.Turn:
    return brain_pb2.Turn(role=ROLES[kept.role], text=kept.text)
