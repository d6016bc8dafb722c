"""Extractive summaries: the user's sentences that contain something to remember."""

from __future__ import annotations

from collections.abc import Sequence

from services.brain.backend import MAX_SUMMARY_CHARS, Turn
from services.brain.listener.memory import MAX_EARLIER_CHARS, MemoryBuilder
from services.brain.listener.utterance import sentences_of

TOLD = "The user said: "
"""Prefix of each line: any backend understands it, and the listener recognizes its own lines."""
MAX_LINE_CHARS = 300


def extract(summary: str, turns: Sequence[Turn], memory_builder: MemoryBuilder) -> str:
    """Adds the sentences of `turns` to a summary; the oldest lines are dropped if it becomes too long.

    Lines of another backend are kept.
    """
    lines = [line for line in summary.splitlines() if line.strip()]
    for turn in turns:
        if turn.role == "user":
            text = turn.text[:MAX_EARLIER_CHARS]
            sentences = [sentence for line in text.splitlines() for sentence in sentences_of(line)]
            lines += [TOLD + sentence[:MAX_LINE_CHARS] for sentence in sentences if memory_builder.tells(sentence)]
    lines = list(dict.fromkeys(lines))
    while lines and sum(len(line) + 1 for line in lines) > MAX_SUMMARY_CHARS + 1:
        del lines[0]
    return "\n".join(lines)


def told_in(summary: str) -> list[str]:
    """The user's sentences in a summary of `extract`, oldest first."""
    return [line.removeprefix(TOLD) for line in summary.splitlines() if line.startswith(TOLD)]
