"""Cuts text into pieces that are spoken one by one."""

from __future__ import annotations

import re

TITLES = frozenset(
    {"mr", "mrs", "ms", "mx", "dr", "prof", "st", "sr", "jr", "rev", "hon", "gen", "col", "capt", "lt", "sgt"}
    | {"mt", "ft", "vs", "fig", "vol", "pp", "e.g", "i.e", "cf"}
)
"""Abbreviations that never end a sentence: a name, a number or an example follows."""
CLOSERS = "\"'\u201d\u2019\u00bb)]"
OPENERS = "\"'\u201c\u2018\u00ab(["
STOPS = ".!?\u2026"
WIDE_STOPS = "\u3002\uff01\uff1f"
"""Stops of scripts that put no space after them."""
DASHES = "\u2014\u2013"

_CLOSED = f"[{re.escape(CLOSERS)}]*"
_END = re.compile(rf"[{STOPS}{WIDE_STOPS}]+{_CLOSED}(?=\s|$)|[{WIDE_STOPS}]{_CLOSED}|\n\s*\n")
_NEXT = re.compile(r"\s*(\S)")
_CLAUSE = re.compile(rf"[,;:{DASHES}]{_CLOSED}\s|\s-\s")


def split_sentences(text: str, max_chars: int) -> list[str]:
    """Cuts `text` into sentences of at most `max_chars` characters; longer ones are cut at clauses, then between words.

    Control characters are dropped and white space is made single spaces.  What holds no letter or digit is not spoken,
    so it makes no piece of its own.  Abbreviations, initials, decimals, and quotations that go on ("Really?" he said)
    do not end a sentence.

    Returns:
        The pieces, in order; none where `text` has no letter or digit.
    """
    text = _printable(text)
    pieces: list[str] = []
    start = 0
    for match in _END.finditer(text):
        if _ends_sentence(text, start, match):
            pieces += split_long(text[start : match.end()], max_chars)
            start = match.end()
    pieces += split_long(text[start:], max_chars)
    return pieces


def split_long(sentence: str, max_chars: int) -> list[str]:
    """Cuts one sentence into pieces of at most `max_chars` characters that hold something to say."""
    rest = " ".join(_printable(sentence).split())
    pieces: list[str] = []
    while len(rest) > max_chars:
        cut = _last_cut(rest, max_chars)
        pieces.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    pieces.append(rest)
    return [piece for piece in pieces if is_speakable(piece)]


def is_speakable(text: str) -> bool:
    """Says whether `text` has a letter or digit: anything else has no sound."""
    return any(character.isalnum() for character in text)


def _printable(text: str) -> str:
    """Drops control, format and unassigned characters (escape codes, zero-width marks), keeping white space."""
    return text if text.isprintable() else "".join(c for c in text if c.isprintable() or c.isspace())


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    mark = match.group()
    if mark.isspace():  # a blank line
        return True
    found = _NEXT.match(text, match.end())
    following = found.group(1) if found else ""
    if following.islower():  # "Wait... what", "Really?" he said, "etc. and so on"
        return False
    if mark[0] != "." or mark.startswith(".."):
        return True
    words = text[start : match.start()].rsplit(None, 1)
    word = words[-1].lstrip(OPENERS).casefold() if words else ""
    if word in TITLES:
        return False
    if word == "no":  # an answer, except in "No. 5"
        return not following.isdigit()
    is_initial = len(word) == 1 and word.isalpha() and word != "i"
    return not (is_initial and following)  # "J. Tolkien"


def _last_cut(text: str, limit: int) -> int:
    """The best place to cut `text` at or before `limit`: after a clause in its second half, else between words."""
    clauses = [match.end() for match in _CLAUSE.finditer(text, limit // 2, limit + 1)]
    if clauses:
        return min(clauses[-1], limit)
    space = text.rfind(" ", 1, limit + 1)
    return space if space > 0 else limit
