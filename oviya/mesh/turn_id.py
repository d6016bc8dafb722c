"""The id of a turn, in every call that is made for it and in every line that is logged about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import structlog
from grpc import aio

METADATA_KEY = "oviya-turn-id"
"""Metadata key under which a call carries the id."""
_VALID = re.compile(r"[0-9a-f]{12}")
_CALL_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

_current: ContextVar[str] = ContextVar("oviya_turn_id", default="")


class _Metadatum(Protocol):
    """One item of gRPC metadata: a pair."""

    def __getitem__(self, index: int, /) -> Any: ...


def current() -> str:
    """Returns the id of the turn that this context belongs to; empty: none."""
    return _current.get()


@contextmanager
def turn_scope(turn_id: str) -> Generator[None]:
    """Within it, calls over `open_channel` carry the turn's id, and log lines have it as `turn_id`.

    The scope is that of the context: it includes tasks that are created within it, and not those that run already.  In
    an async generator, do not yield within it.

    Args:
        turn_id: 12 hexadecimal digits, lower case.

    Raises:
        ValueError: it is not valid.
    """
    if not _VALID.fullmatch(turn_id):
        raise ValueError("a turn's id must be 12 hexadecimal digits")
    token = _current.set(turn_id)
    try:
        with structlog.contextvars.bound_contextvars(turn_id=turn_id):
            yield
    finally:
        _current.reset(token)


def exemplar() -> dict[str, str] | None:
    """Returns the current turn's id as an exemplar of a Prometheus metric, or None."""
    return {"turn_id": turn_id} if (turn_id := current()) else None


def received(metadata: Iterable[_Metadatum] | None) -> str:
    """Returns the turn's id in a call's metadata; empty: there is none, several, or it is not valid.

    Anything else is ignored, because the id is logged.
    """
    values = [item[1] for item in metadata or () if item[0] == METADATA_KEY]
    if len(values) == 1 and isinstance(values[0], str) and _VALID.fullmatch(values[0]):
        return values[0]
    return ""


def add_to_calls(channel: aio.Channel) -> None:
    """Makes every call of the channel carry the id of the turn in whose context it begins.

    gRPC's client interceptors could do the same, but put a queue and a task between each `write` and its call.
    """
    for kind in _CALL_KINDS:
        setattr(channel, kind, _with_metadata(getattr(channel, kind)))


def _with_metadata(make_call: Callable[..., Callable[..., Any]]) -> Callable[..., Callable[..., Any]]:
    """Wraps `Channel.unary_unary` or one of its siblings."""

    def make(*args: Any, **options: Any) -> Callable[..., Any]:
        call = make_call(*args, **options)

        def begin(*args: Any, metadata: Iterable[Any] | None = None, **options: Any) -> Any:
            if turn_id := current():
                metadata = (*(metadata or ()), (METADATA_KEY, turn_id))
            return call(*args, metadata=metadata, **options)

        return begin

    return make
