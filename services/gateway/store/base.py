"""What a store of sessions does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["user", "assistant"]
DAY_S = 86_400.0


class StoreError(Exception):
    """The store cannot be read or written now; trying again later may work."""


@dataclass(frozen=True, slots=True)
class KeptTurn:
    """One side's turn.

    Attributes:
        at: when it was over, in seconds since 1970, UTC.
        role: who spoke.
        text: what was said, and, of a reply, as far as it was heard.
    """

    at: float
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class KeptSession:
    """A session.

    Attributes:
        turns: oldest first.
        summary: what the brain made of the oldest turns; empty: nothing yet.
        summarized: how many turns the summary covers.
    """

    turns: tuple[KeptTurn, ...] = ()
    summary: str = ""
    summarized: int = 0


class Store(Protocol):
    """Keeps sessions by name.  Every method may raise StoreError."""

    async def open(self) -> None:
        """Makes it ready for use."""
        ...

    async def load(self, session_id: str) -> KeptSession:
        """Returns all that is kept of a session; an empty one where nothing is."""
        ...

    async def append(self, session_id: str, turn: KeptTurn) -> None:
        """Keeps a turn."""
        ...

    async def set_summary(self, session_id: str, summary: str, summarized: int) -> None:
        """Keeps the summary of a session's oldest `summarized` turns."""
        ...

    async def delete(self, session_id: str) -> int:
        """Forgets a session; returns how many turns were kept."""
        ...

    async def close(self) -> None:
        """Releases what `open` took."""
        ...
