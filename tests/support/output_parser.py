"""Feeds an output parser with text."""

from __future__ import annotations

from typing import Any

from services.brain.backend import Sentence
from services.brain.ollama.output.output_parser import OutputParser


def parse(text: str, user_emotion: str = "", step: int = 5, **settings: Any) -> tuple[list[Sentence], OutputParser]:
    """The sentences of `text`, pushed `step` characters at a time, and the parser."""
    parser = OutputParser(user_emotion, **{"max_chars": 240, "first_clause_chars": 40, **settings})
    steps = [sentences for at in range(0, len(text), step) for sentences in parser.push(text[at : at + step])]
    return [sentence for sentences in (*steps, *parser.flush()) for sentence in sentences], parser
