"""Cuts a stream of text into pieces that are spoken one by one, each as early as it is safe.

A full stop says little by itself: "3." may become "3.5", "Dr." goes on, and "example." may be half of an address.  So a
piece leaves at once where the word before its stop settles the matter, and else with the next character.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

_ABBREVIATIONS = tomllib.loads((Path(__file__).parent / "data" / "abbreviations.toml").read_text("utf-8"))
INSIDE, PERHAPS = frozenset(_ABBREVIATIONS["inside"]), frozenset(_ABBREVIATIONS["perhaps"])
"""Abbreviations that never end a sentence, and those that end one only where the next is seen to begin."""
STOPS = ".!?\u2026"
WIDE_STOPS = "\u3002\uff01\uff1f"
"""Stops of scripts that put no space after them."""
QUOTES = '"\u201d\u00bb'
CLOSERS = QUOTES + "'\u2019)]*_`"
"""What may stand between a stop and the end of its sentence, marks of bold and italic text included."""
OPENERS = "\"'\u201c\u2018\u00ab([*_`"

_MARK = re.compile(
    rf"\n|[{STOPS}{WIDE_STOPS}]+[{re.escape(CLOSERS)}]*"
    r"|(?<=[^\W\d])[,;]$|[,;:\u2014\u2013](?=\s)|\s-(?=\s)"  # after a letter, a comma parts clauses; "1,000"
)
_TAG = re.compile(r"\s*\[[^\]\n]{0,40}\]")
_LEFT_OVER = re.compile(r"[.!?\u2026)\]*_`\u2019\u201d]+")
"""What follows a stop whose sentence has left already: more stops and closing marks, none of which is heard."""
_WEB = re.compile(r"[@/\\_]|www", re.IGNORECASE)
MIN_CLAUSE_WORDS = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """What can be spoken now.

    Attributes:
        text: as it came, white space around it removed; not empty.
        starts: it begins a sentence; False: it goes on with what the piece before began.
    """

    text: str
    starts: bool


class Segmenter:
    """One stream.

    Args:
        max_chars: longest piece; a longer sentence is cut at a clause, else between words, else anywhere.
        first_clause_chars: length from which the very first clause leaves before its sentence is complete; 0: never.
    """

    def __init__(self, *, max_chars: int = 240, first_clause_chars: int = 40) -> None:
        self._max_chars = max_chars
        self._first_clause_chars = first_clause_chars
        self._text = ""
        self._quoted = False  # within a quotation at the start of `_text`
        self._starts = True
        self._first = True
        self._left_early = False  # the last piece left at its stop, without a look at what follows

    def push(self, text: str) -> list[Piece]:
        """Takes the next text; returns the pieces that it completes."""
        if self._left_early and text:
            text = self._after_early_stop(text)
        self._text += text
        return self._cut(final=False)

    def flush(self) -> list[Piece]:
        """Ends the stream; returns what is left."""
        pieces = self._cut(final=True)
        pieces += self._take(len(self._text), ends=True)
        return pieces

    def _after_early_stop(self, text: str) -> str:
        """What follows a stop at which a piece has left: "com" of "example.com" becomes "dot com"."""
        rest = _LEFT_OVER.sub("", text, count=1) if _LEFT_OVER.match(text) else text
        if rest:
            self._left_early = False
            if rest == text and rest[0].isalnum():
                self._starts = False
                return f"dot {rest}"
        return rest

    def _cut(self, *, final: bool) -> list[Piece]:
        pieces: list[Piece] = []
        while True:
            cut, ends = self._find(final)
            if cut == 0:
                return pieces
            pieces += self._take(cut, ends=ends)

    def _take(self, cut: int, *, ends: bool) -> list[Piece]:
        """Takes `cut` characters off the text; no piece where they hold nothing but white space."""
        taken, self._text = self._text[:cut], self._text[cut:]
        self._quoted = False if taken.endswith("\n") else _in_quotes(taken, self._quoted)
        text = taken.strip()
        if not text:
            return []
        piece = Piece(text, self._starts)
        self._starts, self._first = ends, False
        return [piece]

    def _find(self, final: bool) -> tuple[int, bool]:
        """Where to cut, and whether a sentence ends there; 0: nothing is safe yet."""
        text, clause = self._text, 0
        for mark in _MARK.finditer(text):
            if mark.end() > self._max_chars:
                break
            if mark.group()[0] == "\n":
                return mark.end(), True
            if mark.group()[0] in STOPS + WIDE_STOPS:
                if self._ends(mark, final):
                    return mark.end(), True
            else:
                clause = mark.end()
                if self._first and self._is_first_clause(clause):
                    return clause, False
        if len(text) <= self._max_chars:
            return 0, False
        if clause > self._max_chars // 2:
            return clause, False
        space = text.rfind(" ", 1, self._max_chars + 1)
        return (space if space > 0 else self._max_chars), False

    def _is_first_clause(self, end: int) -> bool:
        spoken = _TAG.sub("", self._text[:end], count=1).strip()
        long_enough = 0 < self._first_clause_chars <= len(spoken) and len(spoken.split()) >= MIN_CLAUSE_WORDS
        return long_enough and not _in_quotes(self._text[:end], self._quoted)

    def _ends(self, mark: re.Match[str], final: bool) -> bool:
        """Says whether a sentence ends at a stop; False too where that cannot be known yet."""
        text, run = self._text, mark.group()
        if run[0] in WIDE_STOPS:
            return True
        words = text[: mark.start()].rsplit(None, 1)
        word = words[-1].lstrip(OPENERS) if words else ""
        quoted = any(quote in run for quote in QUOTES) or _in_quotes(text[: mark.start()], self._quoted)
        after = text[mark.end() :]
        following = after.lstrip(" ")[:1]
        if not following:  # what follows has yet to come
            ends = final or (not quoted and _settles(word, run, words=len(text.split())))
            self._left_early = ends and not final and not after
            return ends
        if not after[0].isspace():  # "3.5", "example.com", "U.S."
            return False
        if quoted and following.islower():  # "Really?" he said
            return False
        return run[0] != "." or _full_stop_ends(word.lower(), run, following)


def _settles(word: str, run: str, words: int) -> bool:
    """Says whether a stop after `word` ends a sentence whatever follows."""
    if _WEB.search(word):
        return False
    if run in ("?", "!"):
        return True
    plain = word.replace("'", "").replace("\u2019", "").strip("*_`,;:")
    if run != "." or words < 2 or not plain.isalpha() or plain.lower() in INSIDE | PERHAPS:
        return False
    return (plain.islower() and len(plain) > 1) or (plain[1:].islower() and len(plain) > 2)


def _full_stop_ends(word: str, run: str, following: str) -> bool:
    """Says whether a full stop, or dots, after `word` end a sentence before white space and `following`."""
    if word in INSIDE:
        return False
    if run.startswith("..") or word in PERHAPS:
        # "Wait... what", "etc. and so on", "No. 5"
        return not (following.islower() or (following.isdigit() and word == "no"))
    if word.isdigit() and len(word) <= 2:
        return not following or not following.isalpha() or (following.isupper() and len(word) > 1)
    return not (len(word) == 1 and word.isalpha() and word != "i" and following)  # "J. Tolkien"


def _in_quotes(text: str, before: bool) -> bool:
    """Says whether a quotation is open after `text`, where `before` says whether one was open before it."""
    for sign in re.findall('["\u201c\u201d\u00ab\u00bb]', text):
        before = not before if sign == '"' else sign in "\u201c\u00ab"
    return before
