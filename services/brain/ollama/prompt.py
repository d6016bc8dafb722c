"""The messages that the model gets."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oviya.text.segmenter import Segmenter
from services.brain.backend import Exchange, Turn
from services.brain.emotions import EMOTIONS
from services.brain.ollama.output.template_markers import escape_special_tokens
from services.brain.ollama.tones import Tones

Message = dict[str, Any]

TEXTS: dict[str, str] = tomllib.loads((Path(__file__).parents[1] / "data" / "ollama.toml").read_text("utf-8"))


class Prompt:
    """Builds messages.

    What never changes stands first, so that the server finds it in its cache of keys and values.

    Args:
        persona: who the model is; empty: Oviya, as data/ollama.toml describes her.
        tones: the emotions that earlier replies are shown with.
        with_tools: whether tools may be offered.
    """

    def __init__(self, persona: str, tones: Tones, *, with_tools: bool) -> None:
        emotions = ", ".join(sorted(EMOTIONS))
        parts = [persona or TEXTS["persona"], TEXTS["style"], TEXTS["format"].format(emotions=emotions)]
        if with_tools:
            parts.append(TEXTS["tools"])
        self._system = "\n\n".join(part.strip() for part in parts)
        self._tones = tones

    def messages(self, exchange: Exchange) -> list[Message]:
        """The conversation up to what the user has just said."""
        text = escape_special_tokens(exchange.text)
        if exchange.user_emotion and exchange.user_emotion != "neutral":
            text = TEXTS["feels"].format(emotion=_spoken(exchange.user_emotion), text=text)
        if exchange.tone is not None and exchange.tone.support != "neutral":
            text = TEXTS["answer"].format(tone=_spoken(exchange.tone.support), text=text)
        return [
            {"role": "system", "content": self._system},
            *_remembered(exchange.summary),
            *(self._earlier(turn) for turn in exchange.history),
            {"role": "user", "content": text},
        ]

    def _earlier(self, turn: Turn) -> Message:
        # A model follows the form of its earlier answers more than any instruction, so their sentences carry one too.
        if turn.role == "user":
            return {"role": "user", "content": escape_special_tokens(turn.text)}
        text = escape_special_tokens(turn.text)
        segmenter = Segmenter(max_chars=len(text) + 1, first_clause_chars=0)
        sentences = [piece.text for piece in [*segmenter.push(text), *segmenter.flush()]]
        tagged = (f"[{self._tones.default(sentence, '')}] {sentence}" for sentence in sentences)
        return {"role": "assistant", "content": " ".join(tagged)}


def _remembered(summary: str) -> list[Message]:
    """The summary as a message of the user's side.

    It holds what people said, so it has no more authority than they have: it does not stand among the instructions.
    Each of its lines is quoted, so that nothing in it can look like the end of the quotation.
    """
    lines = [f"> {line.strip()}" for line in escape_special_tokens(summary).splitlines() if line.strip()]
    return [{"role": "user", "content": "\n".join([TEXTS["remembered"].strip(), *lines])}] if lines else []


def _spoken(emotion: str) -> str:
    return emotion.replace("_", " ")


def summary_messages(summary: str, turns: Sequence[Turn]) -> list[Message]:
    """Asks for a summary of `summary` and the turns after it."""
    # One line a turn: nobody can write the other side's lines.
    said = "\n".join(f"{'User' if turn.role == 'user' else 'Oviya'}: {' '.join(turn.text.split())}" for turn in turns)
    said = escape_special_tokens(said)
    before = f"Memory so far:\n{escape_special_tokens(summary)}\n\n" if summary else ""
    return [
        {"role": "system", "content": TEXTS["summarize"].strip()},
        {"role": "user", "content": f"{before}What was said after it:\n{said}\n\nWrite the new memory."},
    ]
