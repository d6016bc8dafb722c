"""Output and exit codes of the commands."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import typer
from rich.console import Console
from rich.text import Text

from oviya.errors import Busy, InvalidInput, NotReady, OviyaError, PermissionDenied, Timeout, Unavailable
from oviya.text.language_tags import is_english

EXIT_FAILED = 1
"""The command failed."""
EXIT_REFUSED = 2
"""The arguments or the input are invalid: the same command will fail again."""
EXIT_UNAVAILABLE = 3
"""The mesh is unreachable, not ready or full: the same command may succeed later."""
EXIT_INTERRUPTED = 130
"""Ctrl-C: 128 plus the signal's number, as in shells."""


_CONTROLS = re.compile(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f"  # C0 but the tab, DEL and C1: cursor movements, colours, titles, the clipboard
    r"\u202a-\u202e\u2066-\u2069"  # bidirectional embeddings, overrides and isolates
    r"\u2028\u2029\ufff9-\ufffb\U000e0000-\U000e007f"  # line separators, annotations and invisible tags
    r"\ud800-\udfff]"  # halves of a pair, which no terminal can be sent
)


def printable(text: str) -> str:
    """Returns untrusted text without anything that a terminal interprets.

    Control characters, escape sequences and bidirectional controls are replaced by their codes, such as ``\\x1b``, and
    line ends by spaces.
    """
    return _CONTROLS.sub(_shown, text)


def _json_escaped(match: re.Match[str]) -> str:
    """Escapes what JSON permits in strings and terminals interpret: C1, DEL and bidirectional overrides."""
    return "\\u007f" if match[0] == "\x7f" else json.dumps(match[0])[1:-1]


def _shown(match: re.Match[str]) -> str:
    character = match[0]
    if character in "\r\n":
        return " "
    return character.encode("unicode_escape").decode("ascii")


def language_mark(language: str) -> str:
    """Returns what is printed before a text that is not English: "[de] "; empty for English and an unknown language."""
    return "" if is_english(language) else f"[{language}] "


class Output:
    """Prints text for people, or only JSON on standard output."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=True, quiet=as_json)

    def text(self, *parts: str | tuple[str, str]) -> None:
        """Prints a line of plain or (text, style) parts, made `printable`.  Markup in the parts is not interpreted."""
        self.console.print(line(*parts))

    def document(self, value: dict[str, Any]) -> None:
        """Prints `value` as one line of JSON, only with --json.  Floats are rounded to three digits."""
        if self.as_json:
            text = json.dumps(_rounded(value), ensure_ascii=False, allow_nan=False)
            print(_CONTROLS.sub(_json_escaped, text), flush=True)

    @property
    def progress_console(self) -> Console:
        """Console for progress: standard error, so that it does not mix with results; quiet with --json."""
        return Console(stderr=True, quiet=self.as_json)

    def warning(self, message: str) -> None:
        """Prints a warning; not with --json, where the document contains it."""
        if not self.as_json:
            console = Console(stderr=True, highlight=False, soft_wrap=True)
            console.print(Text.assemble(("warning: ", "bold yellow"), message))

    def error(self, error: OviyaError) -> None:
        """Prints an error and its hint."""
        if self.as_json:
            self.document({"error": describe(error)})
            return
        plain = str(error).removesuffix(f"; {error.hint}") if error.hint else str(error)
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(line(("error: ", "bold red"), plain))
        if hint := _hint(error):
            console.print(line(("hint:  ", "bold"), hint))


def line(*parts: str | tuple[str, str]) -> Text:
    """Joins plain or (text, style) parts into a line, made `printable`."""
    return Text.assemble(
        *((printable(part[0]), part[1]) if isinstance(part, tuple) else printable(part) for part in parts)
    )


def describe(error: OviyaError) -> dict[str, Any]:
    """Returns an error as a JSON value."""
    value: dict[str, Any] = {"type": type(error).__name__, "message": str(error), "hint": _hint(error)}
    if isinstance(error, InvalidInput):
        value |= {
            "field": error.field,
            "value": error.value,
            "limit": error.limit,
            "suggestions": list(error.suggestions),
        }
    return value


def exit_code(error: OviyaError) -> int:
    """Returns the exit code for `error`."""
    if isinstance(error, InvalidInput | PermissionDenied):
        return EXIT_REFUSED
    return EXIT_UNAVAILABLE if isinstance(error, Busy | NotReady | Unavailable | Timeout) else EXIT_FAILED


def _hint(error: OviyaError) -> str:
    """Returns the hint of an error, in terms of the command line."""
    if isinstance(error, Unavailable) and not error.hint:
        return "start the mesh with `oviya up`, or say where it is with --address"
    if isinstance(error, PermissionDenied):
        return "give the session's token with --token: `oviya talk --json` and the first event of a session have it"
    return error.hint


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in cast("list[Any]", value)]
    return value


@contextmanager
def exit_on_error(output: Output) -> Generator[None]:
    """Prints an `OviyaError` instead of its traceback, and exits with its code."""
    try:
        yield
    except OviyaError as error:
        output.error(error)
        raise typer.Exit(exit_code(error)) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(EXIT_INTERRUPTED) from error
    except BrokenPipeError as error:  # the reader (head, less) has exited
        sys.stderr.close()
        raise typer.Exit(EXIT_FAILED) from error
