"""Cuts text into pieces that are spoken one by one: whole, or as a stream of tokens, each piece as early as it is safe.

A full stop says little by itself: "3." may become "3.5", "Dr." goes on, and "example." may be half of an address.  A
piece therefore leaves at once where the word before its stop settles the matter, and with what follows otherwise.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from pathlib import Path

_ABBREVIATIONS: dict[str, list[str]] = tomllib.loads(
    (Path(__file__).parent / "data" / "abbreviations.toml").read_text("utf-8")
)
INSIDE, PERHAPS, CAPITAL, UNITS, BEGINNINGS = (
    frozenset(_ABBREVIATIONS[name]) for name in ("inside", "perhaps", "capital", "units", "beginnings")
)
"""Abbreviations, and words that begin sentences; data/abbreviations.toml explains each list."""
STOPS = ".!?\u2026\u203c\u2047\u2048\u2049"
WIDE_STOPS = "\u3002\uff01\uff1f\uff61\u061f\u06d4\u0964\u0965\u0589\u1362\u1367\u104b\u17d4"
"""Stops that always end a sentence: Chinese and Japanese, Arabic and Urdu, Devanagari, Armenian, Ethiopic, Burmese and
Khmer."""
QUOTES = '"\u201d\u00bb'
CLOSERS = QUOTES + "'\u2019)]*_`~\u300d\u300f\uff09\u3011\u300b\u3009\uff3d"
"""What may stand between a stop and the end of its sentence, marks of bold and italic text included."""
OPENERS = "\"'\u201c\u2018\u00ab([*_`~\u300c\u300e\uff08\u3010\u300a\u3008"
MIN_CLAUSE_WORDS = 4
WRAPPED_LINE_CHARS = 50
"""A line this long that ends without a stop was broken to fit a page, not because something ends there."""
_LONGEST_WORD = 64
"""Characters of a word that are looked at: abbreviations and the signs of an address lie within them."""
_LONGEST_BEGINNING = max(map(len, BEGINNINGS))

_MARK = re.compile(
    rf"\n|[{STOPS}{WIDE_STOPS}]++[{re.escape(CLOSERS)}]*+"
    r"|(?<=[^\W\d])[,;]$|[,;:\u2014\u2013](?=\s)|\s-(?=\s)|[\uff0c\u3001\uff1b\uff1a\u060c\u061b]"
)
_TAG = re.compile(r"(?<!\s)\s*+\[[^\]\n]{0,40}\]")
_LEFT_OVER = re.compile(r"[.!?\u2026)\]*_`~\u2019\u201d\u300d\u300f\uff09]++")
"""What follows a stop whose sentence has left already: more stops and closing marks, none of which is heard."""
_WEB = re.compile(r"[@/\\_]|www|://", re.IGNORECASE)
_INITIALS = re.compile(r"[^\W\d_](?:\.[^\W\d_])*+")
_ROMAN = re.compile(r"[ivxlc]{1,6}")
_QUOTE = re.compile('["\u201c\u201d\u00ab\u00bb]')
_WORD = re.compile(r"[^\W\d_]++(?:['\u2019][^\W\d_]++)*+")


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
        self._starts = True
        self._first = True
        self._left_early = ""  # the stop at which the last piece left without a look at what follows
        self._quoted = False  # within a quotation at the start of `_text`
        self._begin_scan()

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

    def _begin_scan(self) -> None:
        """Looks at the text from its start; a scan goes on where the one before it had to wait for more text."""
        self._position = 0
        self._clause = 0  # end of the last clause that was seen
        self._seen = 0  # end of what `_open` is about
        self._open = self._quoted  # within a quotation at `_seen`

    def _after_early_stop(self, text: str) -> str:
        """What follows a stop at which a piece has left: "com" of "example.com" becomes "dot com"."""
        found = _LEFT_OVER.match(text)
        rest = text[found.end() :] if found else text
        if rest:
            stop, self._left_early = self._left_early, ""
            if stop == "." and not found and rest[0].islower():
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
        self._begin_scan()
        text = taken.strip()
        if not text:
            return []
        piece = Piece(text, self._starts)
        self._starts, self._first = ends, False
        return [piece]

    def _find(self, final: bool) -> tuple[int, bool]:
        """Where to cut, and whether a sentence ends there; 0: nothing is safe yet."""
        text = self._text
        for mark in _MARK.finditer(text, self._position):
            start, end = mark.span()
            if end > self._max_chars:
                break
            self._see(start)
            sign = mark.group()[0]
            if sign == "\n":
                ends = self._line_ends(start, final)
            elif sign in WIDE_STOPS:
                self._left_early = "" if end < len(text) or final else sign
                ends = True
            elif sign in STOPS:
                ends = self._ends(mark, final)
            else:
                self._clause = end
                if self._first and self._is_first_clause(end):
                    return end, False
                ends = end == len(text)  # the comma at the end is looked at again with what follows it
                if ends:
                    self._position = start
                    break
                continue
            if ends is None:  # what follows decides
                self._position = start
                break
            if ends:
                return self._with_emoji(end), True
            self._position = end
        else:
            self._position = max(self._position, len(text) - 2)  # the longest mark that is not seen yet begins there
        if len(text) <= self._max_chars:
            return 0, False
        return self._forced_cut(), False

    def _forced_cut(self) -> int:
        """Where a sentence that is too long is cut: behind a clause in its second half, else between words."""
        text, limit = self._text, self._max_chars
        if limit // 2 < self._clause <= limit:
            return self._clause
        space = text.rfind(" ", 1, limit + 1)
        while space > limit // 2 and _joins(text, space):  # "9,99 €", "1 000 000"
            space = text.rfind(" ", 1, space)
        if space <= limit // 2:
            space = text.rfind(" ", 1, limit + 1)
        return space if space > 0 else limit

    def _with_emoji(self, end: int) -> int:
        """The end of a sentence together with the emoji behind its stop."""
        text, at = self._text, end
        while at < min(len(text), self._max_chars):
            if text[at] != " " and not is_pictograph(text[at]):
                break
            at += 1
            if text[at - 1] != " ":
                end = at
        return end

    def _see(self, end: int) -> None:
        """Follows the quotations up to `end`."""
        if end > self._seen:
            self._open = _in_quotes(self._text[self._seen : end], self._open)
            self._seen = end

    def _is_first_clause(self, end: int) -> bool:
        if not 0 < self._first_clause_chars <= end:
            return False
        spoken = _TAG.sub("", self._text[:end], count=1).strip()
        long_enough = self._first_clause_chars <= len(spoken) and len(spoken.split()) >= MIN_CLAUSE_WORDS
        return long_enough and not self._open

    def _line_ends(self, at: int, final: bool) -> bool | None:
        """Says whether something ends with the line at whose end `at` is; None: what follows decides."""
        text = self._text
        line = text[:at].strip()
        if not line or _is_item(line):
            return True
        following = text[at + 1 : at + 2 + _LONGEST_WORD].lstrip(" \t")[:1]
        if not following:
            return True if final or at + 1 + _LONGEST_WORD < len(text) else None
        if following.islower():
            return False
        wrapped = len(line) >= WRAPPED_LINE_CHARS and line[-1] not in STOPS + WIDE_STOPS + CLOSERS + ":;"
        return not (wrapped and following.isalpha())

    def _ends(self, mark: re.Match[str], final: bool) -> bool | None:  # noqa: PLR0911 (one rule a line)
        """Says whether a sentence ends at a stop; None: what follows decides."""
        text, run, start, end = self._text, mark.group(), mark.start(), mark.end()
        window = text[max(0, start - _LONGEST_WORD) : start]
        word = "" if not window or window[-1].isspace() else window.rsplit(None, 1)[-1].lstrip(OPENERS)
        begins = not text[: max(0, start - _LONGEST_WORD)].strip() and not window[: len(window) - len(word)].strip(
            OPENERS + " \n\t#>-"
        )
        quoted = self._open or any(quote in run for quote in QUOTES)
        if end == len(text):  # what follows has yet to come
            early = not final and not quoted and _settles(word, run, several=not begins)
            self._left_early = run[0] if early else ""
            return True if final or early else None
        after = text[end]
        if not after.isspace():  # "3.5", "example.com", "U.S." and "fine.How"
            if is_pictograph(after):
                return True
            return (after.isupper() or (after.isdigit() and run != ".") or after in OPENERS) and _settles(
                word, run.rstrip(CLOSERS) or run, several=not begins
            )
        following = text[end : end + _LONGEST_WORD].lstrip()
        if not following:
            if final or end + _LONGEST_WORD <= len(text):
                return True
            return True if not quoted and _settles(word, run, several=not begins) else None
        if following[0].islower():
            if quoted and run[0] != ".":  # "Really?" he said
                return False
            if quoted and any(quote in run for quote in QUOTES):  # "Go." he said
                return False
        if run[0] != ".":
            return not (run[0] in "\u2026" and following[0].islower())
        return self._full_stop_ends(word, run, following, begins=begins, final=final)

    def _full_stop_ends(self, word: str, run: str, following: str, *, begins: bool, final: bool) -> bool | None:  # noqa: PLR0911
        """Says whether a full stop, or dots, after `word` end a sentence before white space and `following`."""
        plain = word.strip("*_`~,;:'\u2019)]").lower()
        if run.startswith(".."):
            return not following[0].islower()
        if plain == "no":  # an answer, except in "No. 5"
            return not following[0].isdigit()
        if plain in INSIDE:
            return False
        if begins and following[0].isalnum() and _is_number_of_item(plain):
            return False
        if plain.isdigit():
            return not following[0].islower() or len(plain) > 2
        if plain == "i" or not self._may_be_short(plain, word):
            return True
        if following[0].islower() or (following[0].isdigit() and plain != "etc"):
            return False
        if not following[0].isalpha() and following[0] not in OPENERS:
            return following[0] not in ",;:)-&"
        found = _WORD.match(following.lstrip(OPENERS))
        if found is None:
            return True
        if found.end() == len(following) < _LONGEST_BEGINNING and not final:
            return None
        return found.group().lower().replace("\u2019", "'") in BEGINNINGS

    def _may_be_short(self, plain: str, word: str) -> bool:
        """Says whether `plain` may be an abbreviation, or the initial of a name."""
        if plain in PERHAPS or (plain in CAPITAL and word.lstrip(OPENERS)[:1].isupper()):
            return True
        if _INITIALS.fullmatch(plain):
            return True
        return plain in UNITS and bool(re.search(rf"\d\s?{re.escape(word)}\.", self._text[: self._max_chars + 1]))


def is_pictograph(character: str) -> bool:
    """Whether `character` is an emoji or a part of one: a picture, a joiner, a skin tone."""
    return character in "\u200d\ufe0f\u20e3" or (
        character > "\u2000" and (unicodedata.category(character) == "So" or "\U0001f3fb" <= character <= "\U0001f3ff")
    )


def _settles(word: str, run: str, *, several: bool) -> bool:
    """Says whether a stop after `word` ends a sentence whatever follows.  `several`: it is not the first word."""
    if _WEB.search(word):
        return False
    if run in ("?", "!"):
        return bool(word)
    plain = word.replace("'", "").replace("\u2019", "").strip("*_`~,;:")
    if run != "." or not several or not plain.isalpha():
        return False
    lower = plain.lower()
    if lower in INSIDE or lower in PERHAPS or lower in CAPITAL or lower in UNITS or lower == "no":
        return False
    return (plain.islower() and len(plain) > 1) or (plain[1:].islower() and len(plain) > 2)


def _joins(text: str, space: int) -> bool:
    """Whether the words at a space belong together: a number and its unit, the groups of a number."""
    before, after = text[space - 1 : space], text[space + 1 : space + 2]
    return before.isdigit() or after.isdigit() or unicodedata.category(after or "a") == "Sc"


def _is_item(line: str) -> bool:
    """Whether a line is an item of a list, a heading, a quotation or a row of a table."""
    return line[0] in "-*+\u2022#>|" or _is_number_of_item(line.split(None, 1)[0].rstrip(".)").lower())


def _is_number_of_item(word: str) -> bool:
    """Whether `word` may number an item of a list: "1", "12", "a", "iv"."""
    return (word.isdigit() and len(word) <= 3) or (len(word) == 1 and word.isalpha()) or bool(_ROMAN.fullmatch(word))


def _in_quotes(text: str, before: bool) -> bool:
    """Says whether a quotation is open after `text`, where `before` says whether one was open before it."""
    for sign in _QUOTE.findall(text):
        before = not before if sign == '"' else sign in "\u201c\u00ab"
    return before
