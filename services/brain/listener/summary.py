"""An extractive summary: sentences of the user that tell something, in the user's own words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.brain.backend import MAX_SUMMARY_CHARS, Turn
from services.brain.listener.memory import MAX_EARLIER_CHARS, MemoryBuilder

TOLD = "The user said: "
"""Begins each line, so that any backend understands the summary, and the listener finds its own lines in it."""
MAX_LINE_CHARS = 300


def extract(summary: str, turns: Sequence[Turn], memory_builder: MemoryBuilder) -> str:
    """The summary with what `turns` tell added; where it becomes too long, what was told first goes first.

    Lines that another backend wrote stay as they are.
    """
    lines = [line for line in summary.splitlines() if line.strip()]
    for turn in turns:
        if turn.role == "user":
            sentences = re.split(r"(?<=[.?!])\s+|\n+", turn.text[:MAX_EARLIER_CHARS])
            lines += [TOLD + s.strip()[:MAX_LINE_CHARS] for s in sentences if s.strip() and memory_builder.tells(s)]
    lines = list(dict.fromkeys(lines))
    while lines and sum(len(line) + 1 for line in lines) > MAX_SUMMARY_CHARS + 1:
        del lines[0]
    return "\n".join(lines)


def told_in(summary: str) -> list[str]:
    """What the user has told, oldest first, by a summary of `extract`."""
    return [line.removeprefix(TOLD) for line in summary.splitlines() if line.startswith(TOLD)]
