"""A connection's handle on a session: the name it writes under, and the token that permits it."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal, Protocol

from oviya.errors import PermissionDenied
from services.gateway.memory.store import Claim, KeptSession

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}\Z")
"""The form of `new_token`: 256 bits in base64url.  Callers cannot bind a session to a weaker secret."""


class SessionObserver(Protocol):
    """Callbacks of the repository to the memory of an open session."""

    def numbered(self, handle: SessionHandle, uid: str, number: int) -> None:
        """The turn `uid` was kept as number `number`."""
        ...

    def merge(self, handle: SessionHandle, kept: KeptSession) -> None:
        """Merges what is kept: the summary, and the turns that it does not cover."""
        ...

    def forget(self, handle: SessionHandle) -> None:
        """Forgets the session, which was deleted."""
        ...


@dataclass(eq=False)
class SessionHandle:
    """A connection's handle on a session.

    Attributes:
        session_id: the name.
        token: the secret that the caller has or gets; empty where sessions are not kept.
        observer: called when the session changes.
        since: when the session was opened, in seconds since 1970; a later deletion also applies to queued turns.
        claimed: the generation that is written to; None: not known yet, because the store is unavailable.
        last: highest known number of a turn.
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
        """The hash of the token, which the store keeps."""
        return hash_token(self.token)


def new_token() -> str:
    """Returns a new random token."""
    return secrets.token_urlsafe(32)


def is_token(text: str) -> bool:
    """Returns whether `text` has the form of a token."""
    return _TOKEN.match(text) is not None


def hash_token(token: str) -> str:
    """Returns the SHA-256 of a token in hexadecimal: a token has 256 random bits, so it needs no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def denied() -> PermissionDenied:
    """Returns the error for a wrong or missing token, and for an unknown name that is not opened.  It is the same for
    all, so that callers cannot find out which names exist."""
    return PermissionDenied(
        "there is no such session, or the token does not belong to it",
        hint="send the resume_token from SessionStarted of that session",
    )
