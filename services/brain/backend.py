"""What a backend of the brain is given and what it makes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Role = Literal["user", "assistant"]

MAX_SUMMARY_CHARS = 2000
"""Longest summary: some 500 tokens of a model's context."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One side's turn; an assistant's text is what was heard, which may end in the middle of a sentence."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Tone:
    """Which tone to answer in, as the emotion service suggests: emotions, each one of the 49, for a sentence that gives
    back, one that supports and one that asks; and how strongly to show it, 0 to 1."""

    mirror: str
    support: str
    ask: str
    intensity: float


@dataclass(frozen=True, slots=True)
class Exchange:
    """One utterance and everything that is known of its session.

    Attributes:
        text: what the user said; not empty.
        history: earlier turns, oldest first.
        user_emotion: one of the 49 names; empty: unknown.
        session_id: name of the session; empty: none.
        tone: which tone to answer in; None: the backend's own choice.
        summary: what `Backend.summarize` made of the turns before `history`; empty: there were none.
    """

    text: str
    history: tuple[Turn, ...] = ()
    user_emotion: str = ""
    session_id: str = ""
    tone: Tone | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a reply, as it is written, and the emotion (one of the 49) to speak it with.

    Attributes:
        degraded: what went wrong since the sentence before, and what was done instead; empty: nothing.
        backend: who made it, where that is not the backend that was asked; empty: it is.
        spoken: how it is said, where the backend has worked that out; it follows from `text` otherwise.
    """

    text: str
    emotion: str
    degraded: str = ""
    backend: str = ""
    spoken: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Summary:
    """What is worth knowing of earlier turns; `degraded` and `backend` as in `Sentence`."""

    text: str
    degraded: str = ""
    backend: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a backend runs, and whether it works.

    Attributes:
        model: name of its model; empty: it has none.
        degraded: why it does not work as it should, and what is done instead; empty: it works.
    """

    model: str = ""
    degraded: str = ""


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

    def reply(self, exchange: Exchange) -> AsyncGenerator[Sentence, None]:
        """Answers sentence by sentence, at least one; closing the iterator stops the work."""
        ...

    async def summarize(self, summary: str, turns: Sequence[Turn]) -> Summary:
        """Makes one summary of an earlier summary and the turns after it, at most `MAX_SUMMARY_CHARS` long.

        Raises:
            OviyaError: it could not.
        """
        ...

    def condition(self) -> Condition:
        """What it runs, and whether it works."""
        ...

    async def close(self) -> None:
        """Releases what `warm` took."""
        ...
