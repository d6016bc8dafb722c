"""A connection's handle on a session: which name it writes under, and by what right."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal, Protocol

from oviya.errors import PermissionDenied
from services.gateway.memory.store import Claim, KeptSession

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}\Z")
"""What `new_token` makes: 256 bits in base64url.  Callers cannot bind a session to a weaker secret."""


class SessionObserver(Protocol):
    """An open session's memory, as the repository sees it."""

    def numbered(self, handle: SessionHandle, uid: str, number: int) -> None:
        """The turn `uid` is kept as `number`."""
        ...

    def merge(self, handle: SessionHandle, kept: KeptSession) -> None:
        """This is what is kept: the summary, and the turns that it does not cover."""
        ...

    def forget(self, handle: SessionHandle) -> None:
        """The session was deleted."""
        ...


@dataclass(eq=False)
class SessionHandle:
    """A connection's handle on a session.

    Attributes:
        session_id: the name.
        token: the secret that the caller has, or gets; empty where nothing is kept.
        observer: learns what happens to the session.
        since: when the session was opened, in seconds since 1970; a deletion after it counts for what waits here.
        claimed: the generation that is written to; None: not known yet, because the store is away.
        last: highest number of a turn that is known.
        gone: why nothing more is kept: the session was ``deleted``, or the name is ``taken`` by another caller.
    """

    session_id: str
    token: str = field(repr=False)
    observer: SessionObserver
    since: float
    claimed: Claim | None = None
    last: int = 0
    gone: Literal["", "deleted", "taken"] = ""

    @property
    def secret(self) -> str:
        """What the store keeps of the token."""
        return hash_token(self.token)


def new_token() -> str:
    """Returns a fresh token."""
    return secrets.token_urlsafe(32)


def is_token(text: str) -> bool:
    """Says whether `text` has the form of a token."""
    return _TOKEN.match(text) is not None


def hash_token(token: str) -> str:
    """Returns the SHA-256 of a token in hexadecimal: a token has 256 random bits, so it needs no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def denied() -> PermissionDenied:
    """Makes the one error for a wrong token, a missing one and, where nothing is begun, an unknown name."""
    return PermissionDenied(
        "there is no such session, or the token is not the one that belongs to it",
        hint="send the resume_token that SessionStarted had when the session was opened",
    )
