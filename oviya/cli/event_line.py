"""The line that `oviya talk` and `oviya chat` print for an event of a conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oviya.cli.output import language_mark
from oviya.client import (
    ConverseEvent,
    Degraded,
    FinalTranscript,
    Interrupted,
    RequestFailed,
    Sentence,
    TurnDropped,
    TurnFailed,
    UserEmotion,
    VoiceSet,
)

Parts = tuple[str | tuple[str, str], ...]
"""Plain and (text, style) parts of a line, as `Output.text` takes them."""

DROP_REASONS = {
    "backchannel": "a sign of listening",
    "no_words": "no words",
    "echo": "the reply's own sound",
    "stop_phrase": "the reply was stopped",
}


def event_line(event: ConverseEvent) -> Parts | None:
    """Returns the line for an event; None: it has none."""
    make = _LINES.get(type(event))
    return make(event) if make else None


def _final(event: FinalTranscript) -> Parts:
    return ("you    ", "bold"), (language_mark(event.language), "cyan"), event.text or ("(no words)", "yellow")


def _dropped(event: TurnDropped) -> Parts:
    reason = DROP_REASONS.get(event.reason, event.reason)
    return ("you    ", "dim"), (event.text, "dim"), (f"  (not answered: {reason})", "dim")


def _sentence(event: Sentence) -> Parts:
    return ("oviya  ", "bold"), (f"[{event.plan.emotion}] ", "cyan"), event.text, (f"  ({event.voice})", "dim")


def _interrupted(event: Interrupted) -> Parts:
    heard = f" after: {event.heard_text}" if event.heard_text else " before it was heard"
    return "       ", ("\N{EM DASH} interrupted", "yellow"), (heard, "dim")


_LINES: dict[type, Callable[[Any], Parts]] = {
    FinalTranscript: _final,
    TurnDropped: _dropped,
    UserEmotion: lambda event: (("feels  ", "bold"), (event.emotion, "cyan"), f" ({event.score:.2f})"),
    Sentence: _sentence,
    Interrupted: _interrupted,
    VoiceSet: lambda event: (
        ("voice  ", "bold"),
        "changed",
        (f"; the clip says: {event.text}" if event.text else "", "dim"),
    ),
    Degraded: lambda event: (("degraded: ", "yellow"), f"{event.service}: {event.message}"),
    RequestFailed: lambda event: (("refused: ", "yellow"), str(event.error)),
    TurnFailed: lambda event: ((f"turn {event.turn} failed: ", "red"), str(event.error)),
}
