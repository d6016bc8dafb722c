"""Typed errors.

Engines raise them without knowing gRPC; `oviya.status` maps each type to a gRPC and an HTTP status, and `oviya.client`
raises the same types on the caller's side.
"""

from __future__ import annotations

from collections.abc import Iterable

SHOWN_VALUE_CHARS = 100
"""Maximum number of characters of an invalid value in a message."""


class OviyaError(Exception):
    """Base class: a message and, optionally, a hint what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.hint = hint


class InvalidInput(OviyaError):
    """The request is invalid; sending it again will fail again.

    Args:
        field: path of the field in the request, e.g. ``config.format.sample_rate_hz``.
        value: the invalid value; shortened.
        limit: the violated limit or range, in words and units.
        hint: what to do instead.
        suggestions: accepted values near to it, best first.
    """

    def __init__(
        self, field: str, value: object, limit: str, *, hint: str = "", suggestions: Iterable[str] = ()
    ) -> None:
        self.field = field
        self.value = shorten(str(value))
        self.limit = limit
        self.suggestions = tuple(suggestions)
        nearest = f"; nearest: {', '.join(self.suggestions)}" if self.suggestions else ""
        super().__init__(f"{field}: {self.value!r} is refused: {limit}{nearest}", hint=hint)


class Busy(OviyaError):
    """All slots are in use.  `retry_after_s`: delay before a retry."""

    def __init__(self, message: str, *, retry_after_s: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class NotReady(OviyaError):
    """The service is starting, draining, or misses something that it needs."""


class Unavailable(OviyaError):
    """Another service, `service`, cannot be reached."""

    def __init__(self, service: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{service}: {message}", hint=hint)
        self.service = service


class Timeout(OviyaError):
    """A deadline passed, or a stream stalled."""


class Unsupported(OviyaError):
    """The request is valid, but this backend does not support it."""


class PermissionDenied(OviyaError):
    """The caller is not authorized, e.g. it sent the token of another session."""


class CheckpointError(OviyaError):
    """A checkpoint is missing, truncated, or does not match its config.  It keeps a service from starting."""


def shorten(text: str, limit: int = SHOWN_VALUE_CHARS) -> str:
    """Truncates `text` to `limit` characters, with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
