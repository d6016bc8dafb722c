"""Which of the context a prompt keeps, and how a text that is too long for one prompt is cut.

Reference clips come first and are always kept: they are the voice.  Of the turns after them the newest stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from services.csm.request.prompt import Prompt

# Western marks end something where a blank follows (not in "3.14"), Chinese and Japanese ones wherever they stand.
_QUOTES = r"[\"')\]\u201d\u2019\u00bb]*+"
_SENTENCE_ENDS = re.compile(rf"(?<![.!?\u2026])[.!?\u2026]++{_QUOTES}\s++|[\u3002\uff01\uff1f]++{_QUOTES}\s*+|\n++")
_CLAUSE_ENDS = re.compile(rf"(?<![,;:\u2014\u2013])[,;:\u2014\u2013]++{_QUOTES}\s++|[\uff0c\u3001\uff1b\uff1a]++\s*+")
_WORD_ENDS = re.compile(r"\s++")


def keep_context(
    references: Sequence[Prompt], turns: Sequence[Prompt], *, room: int, most: int
) -> tuple[list[Prompt], int]:
    """The segments that a prompt keeps, in order, and how many turns were dropped, the oldest ones.

    Args:
        references: clips that are kept whatever they take.
        turns: what was said since, oldest first.
        room: positions that all of it may take.
        most: turns that may be kept.
    """
    room -= sum(map(len, references))
    kept = 0
    for turn in reversed(turns[len(turns) - min(most, len(turns)) :]):
        room -= len(turn)
        if room < 0:
            break
        kept += 1
    dropped = len(turns) - kept
    return [*references, *turns[dropped:]], dropped


def split_text(text: str, size: Callable[[str], float], most: float) -> list[str]:
    """Cuts `text` into pieces of at most `most`, behind sentences, else clauses, else words, and packs them full.

    A word that is longer by itself is halved.  A piece without a letter or a digit, which nobody can speak, is left
    out.

    Args:
        text: what is to be said.
        size: how much room a part takes; parts joined take at most the sum.
        most: room of a piece, at least that of one character.
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
    """Parts of `text` that fit, with their sizes: cut at `ends[0]`, and where that is not enough at the finer ones."""
    for part in _cut(text, ends[0]) if ends else (text[: len(text) // 2], text[len(text) // 2 :]):
        needs = size(part)
        if needs <= most or len(part) == 1:
            yield part, needs
        else:
            yield from _parts(part, size, most, ends[1:])


def _cut(text: str, ends: re.Pattern[str]) -> Iterator[str]:
    """The parts of `text` that end with `ends`, which they keep."""
    start = 0
    for match in ends.finditer(text):
        if match.end() > start:
            yield text[start : match.end()]
            start = match.end()
    if start < len(text):
        yield text[start:]
