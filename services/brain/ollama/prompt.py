"""The messages for the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oviya.text.language_tags import is_english, name_of
from oviya.text.segmenter import Segmenter
from services.brain.backend import Exchange, Interruption, Turn
from services.brain.emotions import EMOTIONS, default_emotion
from services.brain.ollama.output.template_markers import escape_special_tokens
from services.brain.tables import load_table

Message = dict[str, Any]

TEXTS: dict[str, str] = load_table("ollama")

MAX_HEARD_WORDS = 8
"""Words that show where an answer was cut off; all that was heard is the last turn of the history."""
MAX_UNHEARD_CHARS = 400
"""Characters that show what was not heard: three or four sentences, as an answer should have."""


class Prompt:
    """Builds messages.

    The constant part comes first, so that the server finds it in its KV cache.

    Args:
        persona: who the model is; empty: Oviya, as described in data/ollama.toml.
        with_tools: whether tools are offered.
    """

    def __init__(self, persona: str, *, with_tools: bool) -> None:
        emotions = ", ".join(sorted(EMOTIONS))
        parts = [persona or TEXTS["persona"], TEXTS["style"], TEXTS["format"].format(emotions=emotions)]
        if with_tools:
            parts.append(TEXTS["tools"])
        self._system = "\n\n".join(part.strip() for part in parts)

    def messages(self, exchange: Exchange) -> list[Message]:
        """The conversation, including what the user has just said."""
        text = escape_special_tokens(exchange.text)
        if exchange.user_emotion and exchange.user_emotion != "neutral":
            text = TEXTS["feels"].format(emotion=_spoken(exchange.user_emotion), text=text)
        if exchange.tone is not None and exchange.tone.support != "neutral":
            text = TEXTS["answer"].format(tone=_spoken(exchange.tone.support), text=text)
        if exchange.interruption is not None:
            text = _with_interruption(exchange.interruption, text)
        return [
            {"role": "system", "content": self._system + _asked_language(exchange.language)},
            *_remembered(exchange.summary),
            *(self._earlier(turn) for turn in exchange.history),
            {"role": "user", "content": text},
        ]

    def _earlier(self, turn: Turn) -> Message:
        # Models imitate their earlier answers more than they follow instructions, so those have emotion tags as well.
        if turn.role == "user":
            return {"role": "user", "content": escape_special_tokens(turn.text)}
        text = escape_special_tokens(turn.text)
        segmenter = Segmenter(max_chars=len(text) + 1, first_clause_chars=0)
        sentences = [segment.text for segment in [*segmenter.push(text), *segmenter.flush()]]
        tagged = (f"[{default_emotion(sentence, '')}] {sentence}" for sentence in sentences)
        return {"role": "assistant", "content": " ".join(tagged)}


def _asked_language(tag: str) -> str:
    """The instruction to answer in a language.  English has none: models answer in it anyway."""
    return "" if is_english(tag) else "\n\n" + TEXTS["language"].strip().format(language=name_of(tag))


def _remembered(summary: str) -> list[Message]:
    """The summary as a message of the user.

    It contains what people said and must not have the authority of the instructions.  Every line is quoted, so that no
    line can end the quotation.
    """
    lines = [f"> {line.strip()}" for line in escape_special_tokens(summary).splitlines() if line.strip()]
    return [{"role": "user", "content": "\n".join([TEXTS["remembered"].strip(), *lines])}] if lines else []


def _with_interruption(interruption: Interruption, text: str) -> str:
    """What the user said, after a note that says where they cut the last answer off and what they did not hear.

    What was not heard is quoted in the user's message: a model may have written there what the user told it to.
    """
    heard = _quotable(" ".join(interruption.heard.split()[-MAX_HEARD_WORDS:]))
    unheard = _quotable(interruption.unheard)
    if len(unheard) > MAX_UNHEARD_CHARS:
        unheard = unheard[:MAX_UNHEARD_CHARS].rpartition(" ")[0] + " ..."
    if not heard:
        return TEXTS["silenced"].strip().format(unheard=unheard, text=text)
    return TEXTS["cut_before" if unheard else "cut"].strip().format(heard=heard, unheard=unheard, text=text)


def _quotable(text: str) -> str:
    """`text` on one line, without anything that ends a quotation."""
    return " ".join(escape_special_tokens(text).replace('"', "'").split())


def _spoken(emotion: str) -> str:
    return emotion.replace("_", " ")


def summary_messages(summary: str, turns: Sequence[Turn]) -> list[Message]:
    """Asks for a summary of an earlier summary and the turns after it."""
    # One line for each turn, so that nobody can write lines of the other side.
    said = "\n".join(f"{'User' if turn.role == 'user' else 'Oviya'}: {' '.join(turn.text.split())}" for turn in turns)
    said = escape_special_tokens(said)
    before = f"Memory so far:\n{escape_special_tokens(summary)}\n\n" if summary else ""
    return [
        {"role": "system", "content": TEXTS["summarize"].strip()},
        {"role": "user", "content": f"{before}What was said after it:\n{said}\n\nWrite the new memory."},
    ]
