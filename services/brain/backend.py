"""What a backend of the brain is given and what it makes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One side's turn; an assistant's text is what was heard, which may end in the middle of a sentence."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One utterance and everything that is known of its session.

    Attributes:
        text: what the user said; not empty.
        history: earlier turns, oldest first.
        user_emotion: one of the 49 names; empty: unknown.
        session_id: name of the session; empty: none.
    """

    text: str
    history: tuple[Turn, ...] = ()
    user_emotion: str = ""
    session_id: str = ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a reply, and the emotion (one of the 49) to speak it with."""

    text: str
    emotion: str


class Backend(Protocol):
    """A mind.  It keeps nothing between calls: the exchange holds all it may know."""

    @property
    def name(self) -> str:
        """What ReplyResponse.backend says, e.g. "listener"."""
        ...

    async def warm(self) -> None:
        """Loads what is needed and answers once.

        Raises:
            OviyaError: the backend cannot work.
        """
        ...

    def reply(self, exchange: Exchange) -> AsyncIterator[Sentence]:
        """Answers sentence by sentence, at least one; closing the iterator stops the work."""
        ...

    async def close(self) -> None:
        """Releases what `warm` took."""
        ...
