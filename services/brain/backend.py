"""The interface of the brain's backends, and the types that it uses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Role = Literal["user", "assistant"]

MAX_SUMMARY_CHARS = 2000
"""Longest summary: about 500 tokens."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of the user or the assistant.  The assistant's text is what was heard and may end inside a sentence."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Tone:
    """The tone to answer in, as the emotion service suggests it.

    Attributes:
        mirror: emotion (one of the 49) of a sentence that reflects what was said.
        support: emotion of a sentence that supports.
        ask: emotion of a question.
        intensity: how strongly to show it, 0 to 1.
    """

    mirror: str
    support: str
    ask: str
    intensity: float


@dataclass(frozen=True, slots=True)
class Interruption:
    """How the user cut the last reply short.

    Attributes:
        heard: the words that were heard, the last turn of the history; empty: none, and the history lacks the reply.
        unheard: the words that were made but not heard; empty: none.
    """

    heard: str
    unheard: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a reply answers: the user's text and the state of the session.

    Attributes:
        text: what the user said; not empty.
        history: earlier turns, oldest first.
        user_emotion: one of the 49 names; empty: unknown.
        session_id: name of the session; empty: none.
        tone: the tone to answer in; None: the backend chooses.
        summary: a summary by `Backend.summarize` of the turns before `history`; empty: there are none.
        language: language of `text` (BCP 47); empty: unknown.
        interruption: how the last reply was cut short; None: it was heard to its end.
    """

    text: str
    history: tuple[Turn, ...] = ()
    user_emotion: str = ""
    session_id: str = ""
    tone: Tone | None = None
    summary: str = ""
    language: str = ""
    interruption: Interruption | None = None


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a reply.

    Attributes:
        text: as it is written.
        emotion: the emotion (one of the 49) to speak it with.
        degraded: problems since the previous sentence and how they were handled; empty: none.
        backend: the backend that made it, if it is not the one that was called; empty: it is.
        spoken: as it is spoken, if the backend knows; empty: derived from `text`.
        language: language that it is in (BCP 47); empty: unknown.
    """

    text: str
    emotion: str
    degraded: str = ""
    backend: str = ""
    spoken: str = field(default="", compare=False)
    language: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary of earlier turns; `degraded` and `backend` as in `Sentence`."""

    text: str
    degraded: str = ""
    backend: str = ""


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """The state of a backend.

    Attributes:
        model: name of its model; empty: it has none.
        degraded: why it does not work as it should, and what happens instead; empty: it works.
    """

    model: str = ""
    degraded: str = ""


class Backend(Protocol):
    """Makes replies and summaries.  It is stateless: the arguments hold everything that it knows of a session."""

    @property
    def name(self) -> str:
        """Value of ReplyResponse.backend, e.g. "listener"."""
        ...

    async def warm(self) -> None:
        """Loads what is needed and makes one reply.

        Raises:
            OviyaError: the backend cannot work.
        """
        ...

    def reply(self, exchange: Exchange) -> AsyncGenerator[Sentence, None]:
        """Yields the sentences of a reply, at least one.  Closing the iterator stops the work."""
        ...

    async def summarize(self, summary: str, turns: Sequence[Turn]) -> Summary:
        """Summarizes an earlier summary and the turns after it in at most `MAX_SUMMARY_CHARS` characters.

        Raises:
            OviyaError: the backend failed.
        """
        ...

    def status(self) -> BackendStatus:
        """The current state."""
        ...

    async def close(self) -> None:
        """Releases the resources that `warm` acquired."""
        ...
