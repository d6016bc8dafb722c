"""Formats tracebacks without values.

Python's tracebacks contain the exception's message, and those of `rich` and `better_exceptions` show local variables.
Both may contain what a user said or a token.  These show files, lines, functions, source lines and the types of the
whole chain, and messages only on request.  Standard library only, so that child processes can use it.
"""

from __future__ import annotations

import errno
import sys
import traceback
from types import TracebackType
from typing import cast

MAX_CHAIN = 20
"""Maximum number of exceptions of a chain."""
MAX_FRAMES = 50
"""Maximum number of frames of an exception; the innermost are shown."""
MAX_GROUP = 10
"""Maximum number of members of an exception group."""
WITHHELD = "(message withheld; it is logged at level debug)"

_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"


def format_exception(error: BaseException, *, messages: bool) -> str:
    """Formats `error` with its causes and contexts, without local variables; `messages` adds messages and notes."""
    return "\n".join(_chain(error, messages, set()))


def describe_type(error: BaseException) -> str:
    """Returns the type of `error`, with the error number of an OSError: the part of an error without values."""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return f"{name} [{errno.errorcode.get(error.errno, error.errno)}]"
    return name


def print_plainly(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """A `sys.excepthook` without messages."""
    error = kind() if error is None else error
    sys.stderr.write(format_exception(error.with_traceback(trace), messages=False) + "\n")


def _chain(error: BaseException, messages: bool, seen: set[int]) -> list[str]:
    seen.add(id(error))
    lines: list[str] = []
    before, link = error.__cause__, _CAUSE
    if before is None and not error.__suppress_context__:
        before, link = error.__context__, _CONTEXT
    if before is not None and id(before) not in seen and len(seen) < MAX_CHAIN:
        lines += [*_chain(before, messages, seen), "", link, ""]
    if error.__traceback__ is not None:
        lines.append("Traceback (most recent call last):")
        # A negative limit counts from the innermost frame.
        for entry in traceback.extract_tb(error.__traceback__, limit=-MAX_FRAMES).format():
            lines += entry.rstrip("\n").split("\n")
    lines.append(_last_line(error, messages))
    if messages:
        lines += [f"  {note}" for note in getattr(error, "__notes__", ())]
    if isinstance(error, BaseExceptionGroup):
        members = cast("BaseExceptionGroup[BaseException]", error).exceptions
        for number, member in enumerate(members[:MAX_GROUP], 1):
            lines.append(f"  +---- {number} of {len(members)}")
            if id(member) not in seen:
                lines += [f"  | {line}" for line in _chain(member, messages, seen)]
    return lines


def _last_line(error: BaseException, messages: bool) -> str:
    if not messages:
        return f"{describe_type(error)} {WITHHELD}"
    try:
        return f"{describe_type(error)}: {error}"
    except Exception:  # __str__ failed
        return describe_type(error)
