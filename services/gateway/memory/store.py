"""The interface of a store of sessions, and its values.

Every name has at most one session at a time.  A session has a generation, a random text that changes when the name is
used again after a deletion.  The store numbers the turns, starting at 1, and uses no number twice in a generation.  All
writes name the generation that they belong to, so a late write, from any gateway, never restores deleted turns.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Literal, Protocol

Role = Literal["user", "assistant"]
DAY_S = 86_400.0
TOMBSTONE_S = 7 * DAY_S
"""Time in seconds for which a deletion is remembered, as a generation and hashes of the name and the token: longer than
a gateway that cannot reach the store queues turns."""
EMPTY_S = DAY_S
"""Time in seconds for which a session without turns keeps its name: the longest session."""
RETRY_WINDOW = 64
"""Newest turns among which an append looks for its own turn, which an earlier attempt may have written."""


class StoreError(Exception):
    """The store cannot be read or written now; a later attempt may succeed."""


class CorruptRecord(StoreError):
    """The record of one session cannot be used; another attempt will fail as well.  Other sessions are unaffected."""


def new_id() -> str:
    """Returns a random id of 96 bits for a turn or a generation."""
    return secrets.token_hex(12)


def hash_name(session_id: str) -> str:
    """Returns the hash under which a deletion is remembered; the name itself is not."""
    return hashlib.sha256(b"oviya session\0" + session_id.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class KeptTurn:
    """A turn of the user or of the assistant.

    Attributes:
        at: when it ended, in seconds since 1970, UTC.
        role: who spoke.
        text: what was said; of a reply, what was heard of it.
        uid: random id of the turn, by which a second attempt to keep it is recognized.
        number: position in the session, counted from 1; 0: not kept yet.
    """

    at: float
    role: Role
    text: str
    uid: str = field(default_factory=new_id)
    number: int = 0


@dataclass(frozen=True, slots=True)
class KeptSession:
    """A session, or the requested part of it.

    Attributes:
        turns: in the order of their numbers.
        summary: summary of the oldest turns; empty: none yet.
        summarized: number of the last turn that the summary covers.
        generation: empty if an earlier version of Oviya wrote it and it was not resumed since.
        secret: SHA-256 of the token that it is bound to, in hexadecimal; empty: not bound yet.
    """

    turns: tuple[KeptTurn, ...] = ()
    summary: str = ""
    summarized: int = 0
    generation: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """The current session of a name.

    Attributes:
        generation: its generation.
        secret: the hash that it is bound to; a caller with another one has no access to it.
    """

    generation: str
    secret: str


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The result of an append.

    Attributes:
        outcome: ``kept``; ``deleted``: the session was deleted since; ``taken``: its name has another session now.
        number: the turn's number; 0 where it was not kept.
        dropped: oldest turns that were dropped to make room for it.
        full: whether the limits are exceeded, so that `prune` is needed.
    """

    outcome: Literal["kept", "deleted", "taken"]
    number: int = 0
    dropped: int = 0
    full: bool = False


@dataclass(frozen=True, slots=True)
class PruneResult:
    """Numbers of deleted sessions: `expired` by their age, `dropped` because the limits were exceeded."""

    expired: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Limits of a store; 0: no limit.

    Attributes:
        keep_days: days after its last turn at which a session is deleted.
        max_turns: newest turns that are kept of a session.
        max_sessions: sessions with turns; the ones with the oldest last turn are dropped.
        max_bytes: UTF-8 bytes of all turns together; the ones with the oldest last turn are dropped.
    """

    keep_days: float = 0.0
    max_turns: int = 0
    max_sessions: int = 0
    max_bytes: int = 0


class Store(Protocol):
    """Keeps sessions by name.  Every method is atomic and may raise StoreError."""

    async def open(self) -> None:
        """Prepares the store for use."""
        ...

    async def claim(self, session_id: str, secret: str, *, since: float, now: float) -> Claim | None:
        """Returns the session of a name, and creates it if there is none.

        A new session, and one that is not bound yet, is bound to `secret`.

        Args:
            session_id: the name.
            secret: SHA-256 of the token, in hexadecimal.
            since: when the session to be written was opened, in seconds since 1970.
            now: current time in seconds since 1970.

        Returns:
            The session; None: it was deleted after `since`, so nothing of it may be written.
        """
        ...

    async def load(self, session_id: str, *, after: int | None = None, limit: int = 0) -> KeptSession | None:
        """Returns a session; None: there is none.

        Args:
            session_id: the name.
            after: only turns with a higher number are returned; None: those that the summary does not cover.
            limit: maximum number of turns, oldest first; 0: no limit.
        """
        ...

    async def append(self, session_id: str, claimed: Claim, turn: KeptTurn, *, last: int = 0) -> AppendResult:
        """Keeps a turn of a generation.  Repeated attempts keep it once.

        An expired or dropped session is created again, with numbers above `last`; a deleted one is not.
        """
        ...

    async def set_summary(self, session_id: str, generation: str, summary: str, summarized: int) -> bool:
        """Keeps a summary of the turns up to number `summarized`, unless the kept one covers as many.

        Returns whether it was kept.
        """
        ...

    async def delete(self, session_id: str, claimed: Claim, *, now: float) -> int | None:
        """Deletes a generation; returns how many turns were kept, None if the name has another generation."""
        ...

    async def deleted(self, session_id: str, secret: str) -> bool:
        """Returns whether a session of that name, bound to `secret`, was deleted in the last `TOMBSTONE_S`."""
        ...

    async def prune(self, now: float) -> PruneResult:
        """Deletes expired sessions and those beyond the limits."""
        ...

    async def close(self) -> None:
        """Releases the resources of the store."""
        ...
