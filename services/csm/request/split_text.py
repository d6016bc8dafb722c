"""Cuts a text at the ends of sentences, clauses or words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

# Western marks count if a blank follows (not in "3.14"); Chinese and Japanese ones always do.
_QUOTES = r"[\"')\]\u201d\u2019\u00bb]*+"
_SENTENCE_ENDS = re.compile(rf"(?<![.!?\u2026])[.!?\u2026]++{_QUOTES}\s++|[\u3002\uff01\uff1f]++{_QUOTES}\s*+|\n++")
_CLAUSE_ENDS = re.compile(rf"(?<![,;:\u2014\u2013])[,;:\u2014\u2013]++{_QUOTES}\s++|[\uff0c\u3001\uff1b\uff1a]++\s*+")
_WORD_ENDS = re.compile(r"\s++")


def split_text(text: str, size: Callable[[str], float], most: float) -> list[str]:
    """Cuts `text` into as few pieces as it can: after sentences, else after clauses, else after words.

    A word longer than a piece is halved.  A piece without a letter or digit cannot be spoken and is dropped.

    Args:
        size: size of a part; joined parts are at most as large as their sum.
        most: largest size of a piece, at least that of one character.
    """
    pieces, filled = [""], 0.0
    for part, needs in _parts(text, size, most, (_SENTENCE_ENDS, _CLAUSE_ENDS, _WORD_ENDS)):
        if pieces[-1] and filled + needs > most:
            pieces.append("")
            filled = 0.0
        pieces[-1] += part
        filled += needs
    return [piece.strip() for piece in pieces if any(map(str.isalnum, piece))]


def _parts(
    text: str, size: Callable[[str], float], most: float, ends: tuple[re.Pattern[str], ...]
) -> Iterator[tuple[str, float]]:
    """Parts of `text` that fit, with their sizes: cut at `ends[0]`, and at the finer ends if that is not enough."""
    for part in _cut(text, ends[0]) if ends else (text[: len(text) // 2], text[len(text) // 2 :]):
        needs = size(part)
        if needs <= most or len(part) == 1:
            yield part, needs
        else:
            yield from _parts(part, size, most, ends[1:])


def _cut(text: str, ends: re.Pattern[str]) -> Iterator[str]:
    """The parts of `text` up to and including each match of `ends`."""
    start = 0
    for match in ends.finditer(text):
        if match.end() > start:
            yield text[start : match.end()]
            start = match.end()
    if start < len(text):
        yield text[start:]
