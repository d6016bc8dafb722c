"""Where sentences end: after stops, at the ends of lines, and where a long sentence can be cut."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from oviya.text.tables import load_table

_ABBREVIATIONS = load_table("abbreviations")
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
"""Signs that may follow a stop and belong to its sentence, including markers of bold and italic text."""
OPENERS = "\"'\u201c\u2018\u00ab([*_`~\u300c\u300e\uff08\u3010\u300a\u3008"
WRAPPED_LINE_CHARS = 50
"""A line of this length without a stop at its end was wrapped to fit a page; its sentence goes on."""
LONGEST_WORD = 64
"""Characters of a word that are examined; abbreviations and the signs of addresses are shorter."""
_LONGEST_BEGINNING = max(map(len, BEGINNINGS))

_WEB = re.compile(r"[@/\\_]|www|://", re.IGNORECASE)
_INITIALS = re.compile(r"[^\W\d_](?:\.[^\W\d_])*+")
_ROMAN = re.compile(r"[ivxlc]{1,6}")
_QUOTE = re.compile('["\u201c\u201d\u00ab\u00bb]')
_WORD = re.compile(r"[^\W\d_]++(?:['\u2019][^\W\d_]++)*+")
_INDENT = " \n\t#>-"


@dataclass(frozen=True, slots=True)
class Stop:
    """A run of stops and closing signs.

    Attributes:
        text: the text around it.
        start: where the run begins.
        end: where the run ends.
        in_quotation: a quotation is open before the run.
        final: no more text follows.
        searched_chars: length of the text that is searched for the number before a unit.
    """

    text: str
    start: int
    end: int
    in_quotation: bool
    final: bool
    searched_chars: int

    @property
    def run(self) -> str:
        """The stops and closing signs."""
        return self.text[self.start : self.end]

    @property
    def _word(self) -> str:
        """The word before the stop, without opening signs."""
        window = self.text[max(0, self.start - LONGEST_WORD) : self.start]
        return "" if not window or window[-1].isspace() else window.rsplit(None, 1)[-1].lstrip(OPENERS)

    @property
    def _is_first_word(self) -> bool:
        """Whether the word before the stop is the first one of the text."""
        before = max(0, self.start - LONGEST_WORD)
        window = self.text[before : self.start - len(self._word)]
        return not self.text[:before].strip() and not window.strip(OPENERS + _INDENT)

    @property
    def _is_quoted(self) -> bool:
        return self.in_quotation or any(quote in self.run for quote in QUOTES)

    def ends_early(self) -> bool:
        """Whether a sentence ends here although the text after the stop has not arrived."""
        at_end = self.end == len(self.text) and not self.final
        return at_end and not self._is_quoted and _is_certain(self._word, self.run, several=not self._is_first_word)

    def ends(self) -> bool | None:  # noqa: PLR0911 (one rule a line)
        """Whether a sentence ends here; None: this depends on text that has not arrived."""
        text, run, end, quoted = self.text, self.run, self.end, self._is_quoted
        if end == len(text):
            return True if self.final or self.ends_early() else None
        word, is_first, after = self._word, self._is_first_word, text[end]
        if not after.isspace():  # "3.5", "example.com", "U.S." and "fine.How"
            if is_pictograph(after):
                return True
            begins = after.isupper() or (after.isdigit() and run != ".") or after in OPENERS
            return begins and _is_certain(word, run.rstrip(CLOSERS) or run, several=not is_first)
        following = text[end : end + LONGEST_WORD].lstrip()
        if not following:
            if self.final or end + LONGEST_WORD <= len(text):
                return True
            return True if not quoted and _is_certain(word, run, several=not is_first) else None
        if quoted and following[0].islower():
            if run[0] != ".":  # "Really?" he said
                return False
            if any(quote in run for quote in QUOTES):  # "Go." he said
                return False
        if run[0] != ".":
            return not (run[0] in "\u2026" and following[0].islower())
        return self._full_stop_ends(word, following, is_first=is_first)

    def _full_stop_ends(self, word: str, following: str, *, is_first: bool) -> bool | None:  # noqa: PLR0911
        """Whether full stops after `word` end a sentence before white space and `following`."""
        plain = word.strip("*_`~,;:'\u2019)]").lower()
        if self.run.startswith(".."):
            return not following[0].islower()
        if plain == "no":  # an answer, except in "No. 5"
            return not following[0].isdigit()
        if plain in INSIDE:
            return False
        if is_first and following[0].isalnum() and _is_item_number(plain):
            return False
        if plain.isdigit():
            return not following[0].islower() or len(plain) > 2
        if plain == "i" or not self._may_be_abbreviation(plain, word):
            return True
        if following[0].islower() or (following[0].isdigit() and plain != "etc"):
            return False
        if not following[0].isalpha() and following[0] not in OPENERS:
            return following[0] not in ",;:)-&"
        found = _WORD.match(following.lstrip(OPENERS))
        if found is None:
            return True
        if found.end() == len(following) < _LONGEST_BEGINNING and not self.final:
            return None
        return found.group().lower().replace("\u2019", "'") in BEGINNINGS

    def _may_be_abbreviation(self, plain: str, word: str) -> bool:
        """Whether a word may be an abbreviation, or the initial of a name."""
        if plain in PERHAPS or (plain in CAPITAL and word.lstrip(OPENERS)[:1].isupper()):
            return True
        if _INITIALS.fullmatch(plain):
            return True
        return plain in UNITS and bool(re.search(rf"\d\s?{re.escape(word)}\.", self.text[: self.searched_chars]))


def _is_certain(word: str, run: str, *, several: bool) -> bool:
    """Whether a stop after `word` ends a sentence whatever follows.  `several`: it is not the first word."""
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


def line_ends(text: str, at: int, *, final: bool) -> bool | None:
    """Whether a sentence ends with the line that ends at `at`; None: this depends on text that has not arrived."""
    line = text[:at].strip()
    if not line or _is_item(line):
        return True
    following = text[at + 1 : at + 2 + LONGEST_WORD].lstrip(" \t")[:1]
    if not following:
        return True if final or at + 1 + LONGEST_WORD < len(text) else None
    if following.islower():
        return False
    wrapped = len(line) >= WRAPPED_LINE_CHARS and line[-1] not in STOPS + WIDE_STOPS + CLOSERS + ":;"
    return not (wrapped and following.isalpha())


def _is_item(line: str) -> bool:
    """Whether a line is an item of a list, a heading, a quotation or a row of a table."""
    return line[0] in "-*+\u2022#>|" or _is_item_number(line.split(None, 1)[0].rstrip(".)").lower())


def _is_item_number(word: str) -> bool:
    """Whether `word` may number an item of a list: "1", "12", "a", "iv"."""
    return (word.isdigit() and len(word) <= 3) or (len(word) == 1 and word.isalpha()) or bool(_ROMAN.fullmatch(word))


def forced_cut(text: str, limit: int, clause: int) -> int:
    """Where to cut a sentence that is too long: after a clause in its second half, else between words, else at `limit`.

    `clause` is the end of its last clause; 0: none.
    """
    if limit // 2 < clause <= limit:
        return clause
    space = text.rfind(" ", 1, limit + 1)
    while space > limit // 2 and _joins(text, space):  # "9,99 €", "1 000 000"
        space = text.rfind(" ", 1, space)
    if space <= limit // 2:
        space = text.rfind(" ", 1, limit + 1)
    return space if space > 0 else limit


def _joins(text: str, space: int) -> bool:
    """Whether the words at a space belong together: a number and its unit, the groups of a number."""
    before, after = text[space - 1 : space], text[space + 1 : space + 2]
    return before.isdigit() or after.isdigit() or unicodedata.category(after or "a") == "Sc"


def is_pictograph(character: str) -> bool:
    """Whether a character is an emoji or part of one: a picture, a joiner, a skin tone."""
    return character in "\u200d\ufe0f\u20e3" or (
        character > "\u2000" and (unicodedata.category(character) == "So" or "\U0001f3fb" <= character <= "\U0001f3ff")
    )


def is_quotation_open(text: str, before: bool) -> bool:
    """Whether a quotation is open after `text`; `before`: whether one was open before it."""
    for sign in _QUOTE.findall(text):
        before = not before if sign == '"' else sign in "\u201c\u00ab"
    return before
