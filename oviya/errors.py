"""The failures that Oviya names.

Engines raise these and know nothing of gRPC; `oviya.status` holds the one table that maps each type to a gRPC and
an HTTP status, and `oviya.client` raises the same types again at the caller's side.
"""

from __future__ import annotations

from collections.abc import Iterable

SHOWN_VALUE_CHARS = 100
"""Longest piece of a refused value that a message repeats."""


class OviyaError(Exception):
    """A failure with a plain message and, where it helps, a hint what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.hint = hint


class InvalidInput(OviyaError):
    """The caller sent something that cannot be used; sending it again will fail again.

    Args:
        field: path of the field in the request, e.g. ``config.format.sample_rate_hz``.
        value: what was sent; shown shortened.
        limit: the limit or range that it broke, in words and units.
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
    """Every slot is taken.  `retry_after_s` says when another try makes sense."""

    def __init__(self, message: str, *, retry_after_s: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class NotReady(OviyaError):
    """The service is starting, draining, or lacks something that it needs right now."""


class Unavailable(OviyaError):
    """Another service cannot be reached.  `service` names it."""

    def __init__(self, service: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{service}: {message}", hint=hint)
        self.service = service


class Timeout(OviyaError):
    """A deadline passed, or a stream stalled."""


class Unsupported(OviyaError):
    """The request is well-formed, but this backend cannot do it."""


class PermissionDenied(OviyaError):
    """The caller has not shown that it may do this, for example because it sent another session's token."""


class CheckpointError(OviyaError):
    """A checkpoint is missing, truncated, or of other sizes than its config says.  Stops a service at start."""


def shorten(text: str, limit: int = SHOWN_VALUE_CHARS) -> str:
    """Cuts `text` to `limit` characters, saying that it did."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
