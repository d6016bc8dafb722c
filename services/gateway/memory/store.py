"""What a store of sessions does, and the values that it keeps.

Every name has at most one session at a time.  A session has a generation, a random text that is new whenever the name
is taken again after a deletion.  Every turn has a number that the store gives: the first is 1, and no number is used
twice in a generation.  All writes name the generation that they belong to, so a write that comes late, from whichever
gateway, never brings back what was deleted.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Literal, Protocol

Role = Literal["user", "assistant"]
DAY_S = 86_400.0
TOMBSTONE_S = 7 * DAY_S
"""How long in seconds a deletion is remembered (a generation, a hash of the name and of the token): longer than a
gateway that cannot reach the store holds turns back."""
EMPTY_S = DAY_S
"""How long in seconds a name stays taken by a session without a turn: the longest session."""
RETRY_WINDOW = 64
"""Newest turns among which an append looks for its own turn, which an earlier try may have written."""


class StoreError(Exception):
    """The store cannot be read or written now; trying again later may work."""


class CorruptRecord(StoreError):
    """What is kept of one session cannot be used; trying again will fail again, other sessions are not concerned."""


def new_id() -> str:
    """Returns a random id for a turn or a generation: 96 bits, never the same twice in practice."""
    return secrets.token_hex(12)


def hash_name(session_id: str) -> str:
    """Returns what a deletion is remembered under: the name itself is forgotten."""
    return hashlib.sha256(b"oviya session\0" + session_id.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class KeptTurn:
    """One side's turn.

    Attributes:
        at: when it was over, in seconds since 1970, UTC.
        role: who spoke.
        text: what was said, and, of a reply, as far as it was heard.
        uid: random id of the turn, by which a second try to keep it is recognized.
        number: position in the session, counted from 1; 0: not kept yet.
    """

    at: float
    role: Role
    text: str
    uid: str = field(default_factory=new_id)
    number: int = 0


@dataclass(frozen=True, slots=True)
class KeptSession:
    """A session, or the part of it that was asked for.

    Attributes:
        turns: in the order of their numbers.
        summary: what the brain made of the oldest turns; empty: nothing yet.
        summarized: number of the last turn that the summary covers.
        generation: empty where an earlier version of Oviya kept it and nobody has resumed it since.
        secret: SHA-256 of the token that it is bound to, in hexadecimal; empty: not bound yet.
    """

    turns: tuple[KeptTurn, ...] = ()
    summary: str = ""
    summarized: int = 0
    generation: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """The session that a name stands for now.

    Attributes:
        generation: its generation.
        secret: the hash that it is bound to; whoever claimed it with another one has no right to it.
    """

    generation: str
    secret: str


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What became of a turn.

    Attributes:
        outcome: ``kept``; ``deleted``: the session was deleted since; ``taken``: its name belongs to another one now.
        number: the turn's number; 0 where it was not kept.
        dropped: oldest turns that were dropped to make room for it.
        full: whether the store holds more than it should, so that `prune` is needed.
    """

    outcome: Literal["kept", "deleted", "taken"]
    number: int = 0
    dropped: int = 0
    full: bool = False


@dataclass(frozen=True, slots=True)
class PruneResult:
    """Sessions that were forgotten: `expired` because of their age, `dropped` because there were too many."""

    expired: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much a store keeps; 0: no limit.

    Attributes:
        keep_days: days after a session's last turn at which it is forgotten.
        max_turns: newest turns that are kept of a session.
        max_sessions: sessions with turns; the ones whose last turn is oldest are dropped.
        max_bytes: UTF-8 bytes of all turns together; the same.
    """

    keep_days: float = 0.0
    max_turns: int = 0
    max_sessions: int = 0
    max_bytes: int = 0


class Store(Protocol):
    """Keeps sessions by name.  Every method may raise StoreError, and each is atomic."""

    async def open(self) -> None:
        """Makes it ready for use."""
        ...

    async def claim(self, session_id: str, secret: str, *, since: float, now: float) -> Claim | None:
        """Takes a name, or says who has it.

        A name without a session gets a new one, bound to `secret`.  A session that is not bound yet is bound to it.

        Args:
            session_id: the name.
            secret: SHA-256 of the token, in hexadecimal.
            since: when what will be written began, in seconds since 1970.
            now: the present time.

        Returns:
            The session; None: it was deleted after `since`, so nothing that is older may be written.
        """
        ...

    async def load(self, session_id: str, *, after: int | None = None, limit: int = 0) -> KeptSession | None:
        """Returns a session; None where there is none.

        Args:
            session_id: the name.
            after: only turns with a higher number; None: those that the summary does not cover.
            limit: most turns, the oldest of them; 0: all.
        """
        ...

    async def append(self, session_id: str, claimed: Claim, turn: KeptTurn, *, last: int = 0) -> AppendResult:
        """Keeps a turn of a generation, once however often it is tried.

        A session that has expired or was dropped to make room is begun again, with numbers above `last`; one that was
        deleted is not.
        """
        ...

    async def set_summary(self, session_id: str, generation: str, summary: str, summarized: int) -> bool:
        """Keeps a summary of the turns up to number `summarized`, unless one is kept that covers as many.

        Returns whether it was kept.
        """
        ...

    async def delete(self, session_id: str, claimed: Claim, *, now: float) -> int | None:
        """Forgets a generation; returns how many turns were kept, None where the name has another generation."""
        ...

    async def deleted(self, session_id: str, secret: str) -> bool:
        """Says whether a session of that name, bound to `secret`, was deleted in the last `TOMBSTONE_S`."""
        ...

    async def prune(self, now: float) -> PruneResult:
        """Forgets what is too old and what is too much."""
        ...

    async def close(self) -> None:
        """Releases what `open` took."""
        ...
