"""Recognizes that somebody is reading out a number or a spelling and has not finished; people pause between its groups.

Only the words count, spoken in English or written as figures.  A quantity ("I am forty two", "half past six", "in
1984") is complete as it stands.  A sequence of digits is complete only if it has the usual length of such numbers.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from pathlib import Path

_DATA = tomllib.loads((Path(__file__).parent / "data" / "dictation.toml").read_text(encoding="utf-8"))
DIGITS: dict[str, int] = _DATA["digits"]
TEENS, TENS, SCALES = (frozenset(_DATA[name]) for name in ("teens", "tens", "scales"))
REPEATS, CONNECTORS, SEPARATORS = (frozenset(_DATA[name]) for name in ("repeats", "connectors", "separators"))
COUNTED, SPELLING_CUES, HOW_SPELLED, LINKS = (
    frozenset(_DATA[name]) for name in ("counted", "spelling_cues", "how_spelled", "links")
)
LETTER_WORDS, CALLS, QUESTION_WORDS = (frozenset(_DATA[name]) for name in ("letter_words", "calls", "question_words"))
IDIOMS, INITIALISMS = (frozenset(map(tuple, _DATA[name])) for name in ("idioms", "initialisms"))
CUES: dict[str, list[int]] = _DATA["cues"]
"""Nouns that announce a number, and the number of digits from which on it is complete; empty: unknown."""

CUE_REACH = 4
"""Maximum number of link words ("is", "um", "it's") between such a noun and the digits."""
QUESTION_REACH = 5
"""Within so many words before such a noun, a question word means that no number follows: "do you know what my number
is"."""
UNKNOWN_COMPLETE = (10, 11)
"""Digits of a telephone number.  Other sequences are complete from `LONG_COMPLETE` digits on, the length of card
numbers."""
LONG_COMPLETE = 15
_FIGURES = {str(value): word for word, value in DIGITS.items() if word not in ("oh", "o", "nought")}
_MARKS = ".,!?;:\"()[]'-\N{EN DASH}\N{EM DASH}\N{HORIZONTAL ELLIPSIS}"


class Dictation(Enum):
    """Whether the last words are being read out."""

    NONE = auto()
    """They are not."""
    WHOLE = auto()
    """A number of the usual length, or too short to tell."""
    OPEN = auto()
    """More follows."""


@dataclass(frozen=True)
class _Run:
    """The number words at the end: how many digits they stand for, and whether they are clearly one quantity."""

    start: int
    words: tuple[str, ...]
    digits: int
    quantity: bool
    ends_open: bool


def dictation(words: Sequence[str]) -> Dictation:  # noqa: PLR0911  (one rule a return)
    """Classifies the end of `words`."""
    tokens = _tokens(words)
    if not tokens:
        return Dictation.NONE
    if _spells(tokens) or _announces(tokens):
        return Dictation.OPEN
    run = _run(tokens)
    if run is None:
        return Dictation.NONE
    before = tokens[: run.start]
    spoken = tuple(_FIGURES.get(word, word) for word in run.words)
    if spoken in IDIOMS or any(word in COUNTED for word in before[-2:]):
        return Dictation.NONE
    lengths = _cue(before)
    if run.ends_open:
        return Dictation.OPEN
    if lengths is not None:
        return Dictation.WHOLE if _is_complete(run.digits, lengths) else Dictation.OPEN
    if run.quantity or (before and before[-1] in CALLS and run.digits == 3):
        return Dictation.NONE
    if run.digits == 2 and run.words[0] not in ("oh", "o", "zero", "0"):
        return Dictation.WHOLE  # as likely a score or a height as the start of a number
    return Dictation.WHOLE if _is_complete(run.digits, ()) else Dictation.OPEN


def _tokens(words: Sequence[str]) -> list[str]:
    """Returns `words` in lower case without punctuation; grouped figures and spelled letters are split."""
    tokens: list[str] = []
    for word in words:
        text = word.strip().lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").strip(_MARKS)
        if text.startswith("+") and text[1:2].isdigit():
            tokens.append("plus")
            text = text[1:]
        if re.fullmatch(r"(?:\w[-.])++\w", text) and not re.fullmatch(r"\d\.\d", text):  # s-m-i-t-h, p.m, 9-1-1
            tokens += re.split("[-.]", text)
        elif re.fullmatch(r"\d++(?:-\d++)++", text) or (
            re.fullmatch(r"\(?\d++\)?(?:[-.) ]++\d++)++", text) and len(re.sub(r"\D", "", text)) >= 6
        ):
            tokens += re.findall(r"\d+", text)
        elif re.fullmatch(r"[a-z]\d++", text):  # the "b12" of a plate
            tokens += [text[0], text[1:]]
        elif "-" in text and all(_is_number(part) or part in REPEATS for part in text.split("-")):
            tokens += text.split("-")  # twenty-one, double-0900
        elif text.removesuffix("'s") != text and text not in ("it's", "that's"):
            tokens += [text[:-2], "is"]
        elif text:
            tokens.append(text)
        else:
            tokens += ["dash"] if word.strip() in ("-", "\N{EN DASH}", "\N{EM DASH}") else []
    return tokens


def _is_number(token: str) -> bool:
    return token.isdecimal() or token in DIGITS or token in TEENS or token in TENS or token in SCALES


def _run(tokens: Sequence[str]) -> _Run | None:
    """Finds the number words at the end of `tokens`."""
    start = len(tokens)
    while start and (
        _is_number(tokens[start - 1])
        or (tokens[start - 1] in REPEATS | CONNECTORS | SEPARATORS)
        or (tokens[start - 1] == "and" and start > 1 and tokens[start - 2] in SCALES and start < len(tokens))
    ):
        start -= 1
    while start < len(tokens) and tokens[start] in SEPARATORS:
        start += 1
    words = tuple(tokens[start:])
    if not any(_is_number(word) for word in words):
        return None
    digits = sum(_digits(word, following) for word, following in zip(words, [*words[1:], ""], strict=True))
    ends_open = words[-1] in REPEATS or words[-1] in CONNECTORS
    return _Run(start, words, digits, _is_quantity(words), ends_open)


def _digits(word: str, following: str) -> int:
    """Returns how many digits a number word stands for when it is read out."""
    if word in REPEATS:
        return {"double": 1, "triple": 2}.get(word, 0) if following else 0
    if word.isdecimal():
        return len(word)
    if word in TENS:
        return 1 if following in DIGITS else 2
    if word in SCALES:
        return 2 if word == "hundred" else 3
    return 2 if word in TEENS else int(word in DIGITS)


def _is_quantity(words: Sequence[str]) -> bool:  # noqa: PLR0911  (one form a return)
    """Whether number words are one count, a year, a time or a fraction, not digits that are read out."""
    if words[0] in ("oh", "o", "zero") and len(words) > 1:
        return False
    if len(words) == 1:
        figures = words[0]
        return not figures.isdecimal() or len(figures) <= 1 or (figures[0] != "0" and len(figures) <= 6)
    if "point" in words:
        at = words.index("point")
        return 0 < at < len(words) - 1 and _is_quantity(words[:at]) and all(map(_is_number, words[at + 1 :]))
    if any(word in REPEATS or word in CONNECTORS or word in SEPARATORS for word in words):
        return False
    if all(word.isdecimal() for word in words):  # "6 30"
        return len(words) == 2 and len(words[0]) <= 2 and len(words[1]) == 2 and int(words[1]) < 60
    if any(word in SCALES for word in words):
        return not any(a in DIGITS and b in DIGITS for a, b in pairwise(words))
    return _pair(words)


def _pair(words: Sequence[str]) -> bool:
    """Whether words are "forty two", "six thirty", "nineteen eighty four", "seven oh five"."""
    first = 2 if words[0] in TENS and len(words) > 1 and words[1] in DIGITS else 1
    rest = words[first:]
    if not rest:
        return True
    if len(rest) == 1:
        return rest[0] in TEENS or rest[0] in TENS or (words[0].isdecimal() and rest[0] in SCALES)
    return len(rest) == 2 and ((rest[0] in TENS or rest[0] in ("oh", "o")) and rest[1] in DIGITS)


def _cue(before: Sequence[str]) -> list[int] | None:
    """Returns the `CUES` entry of the noun that announces a number; None: there is none."""
    at, linked = len(before) - 1, False
    while at >= 0 and len(before) - 1 - at < CUE_REACH and (before[at] in LINKS or _is_letter(before[at])):
        linked = linked or before[at] in ("is", "was", "are")
        at -= 1
    if at < 0:
        return None
    noun = before[at]
    owner = before[at - 1] if at else ""
    if noun in ("number", "code") and owner in CUES:
        return CUES[owner]
    if noun == "number":
        return [] if linked and owner not in COUNTED else None
    return CUES.get(noun)


def _is_complete(digits: int, lengths: Sequence[int]) -> bool:
    """Whether a sequence of digits has one of `lengths` or more, or a usual length if they are unknown."""
    return digits >= lengths[0] if lengths else digits in UNKNOWN_COMPLETE or digits >= LONG_COMPLETE


def _announces(tokens: Sequence[str]) -> bool:
    """Whether the last words announce a number or a spelling: "my number is", "it's spelled"."""
    last = tokens[-1]
    if last in SPELLING_CUES:
        return len(tokens) > 1 and not any(word in QUESTION_WORDS for word in tokens)
    if last in ("at", "on") and len(tokens) > 2 and tokens[-3] in CALLS:
        return True  # "you can reach me at"
    if last not in ("is", "was") or len(tokens) < 3:
        return False
    noun, owner = tokens[-2], tokens[-3]
    asked = any(word in QUESTION_WORDS for word in tokens[-3 - QUESTION_REACH : -2])
    if asked or owner in COUNTED:
        return False
    return noun in CUES or (
        noun == "number" and (owner in CUES or owner in ("my", "our", "the", "his", "her", "their"))
    )


def _is_letter(token: str) -> bool:
    return len(token) == 1 and token.isalpha()


def _spells(tokens: Sequence[str]) -> bool:
    """Whether the last words are letters that are spelled out."""
    count = 0
    while count < len(tokens) and (_is_letter(tokens[-1 - count]) or tokens[-1 - count] in LETTER_WORDS):
        count += 1
    before = tokens[: len(tokens) - count]
    cued = any(word in SPELLING_CUES for word in before[-CUE_REACH:])
    if count:
        return (cued or count >= 2) and tuple(tokens[len(tokens) - count :]) not in INITIALISMS
    if _spelled_as_a_word(tokens):
        return True
    spelled = any(word in SPELLING_CUES for word in tokens)  # "b as in boy", "v for victor"
    return spelled and (
        (len(tokens) > 3 and tokens[-3] == "as" and tokens[-2] == "in" and _is_letter(tokens[-4]))
        or (len(tokens) > 2 and tokens[-2] in ("for", "like") and _is_letter(tokens[-3]))
    )


def _spelled_as_a_word(tokens: Sequence[str]) -> bool:
    """Whether the last word follows "it's spelled" or "it's spelled as"; letters may be recognized as a word."""
    last, *before = reversed(tokens)
    if before and before[0] == "as":
        before = before[1:]
    return (
        len(before) > 1
        and before[0] in ("spelled", "spelt")
        and before[1] in LINKS
        and last not in HOW_SPELLED
        and not last.endswith("ly")
    )
