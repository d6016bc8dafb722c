"""Says numbers."""

from __future__ import annotations

import re

from oviya.text.speakable.quantities import NUMBER
from oviya.text.speakable.words import MAX_CARDINAL_DIGITS, cardinal, digits, ordinal

_PHONE = re.compile(
    r"(?<![\w.])\+?\d{1,3}[ -]?\(?\d{2,4}\)?(?:[ -]\d{2,4}){1,4}(?![\w.,]\d|\w)|(?<![\w.])\d{3}-\d{4}(?!\d)"
)
_VERSION = re.compile(r"(?<![\w.])v?(\d+(?:\.\d+){2,4})(?!\w)")
_ORDINAL = re.compile(r"\b(\d{1,4})(?:st|nd|rd|th)\b")
_FRACTION = re.compile(r"(?<![\w/.])(\d{1,3})/(\d{1,3})(?![\w/])")
_FRACTIONS = {"\u00bd": "one half", "\u00bc": "one quarter", "\u00be": "three quarters", "\u2153": "one third"}
_VULGAR = re.compile(f"(\\d*)([{''.join(_FRACTIONS)}])")
_PARTS = {2: "half", 4: "quarter"}
_RANGE = re.compile(rf"(?<![\w.,-])({NUMBER})\s?[-\u2013]\s?({NUMBER})(?![\w-]|[.,]\d)")
_RATIO = re.compile(r"(?<![\w.:])(\d{1,3}):(\d{1,3})(?![\w:])")
_HASH = re.compile(r"(?:#|\bNo\.\s?|\u2116\s?)(?=\d)")
_MINUS = re.compile(r"(?<![\w.)])[-\u2212](?=\d)")
_ARITHMETIC = ((re.compile(r"(?<=\d)\s*\+\s*(?=\d)"), " plus "), (re.compile(r"(?<=\d)\s+-\s+(?=\d)"), " minus "))
_SCALED = re.compile(rf"(?<![\w.,])({NUMBER})([kK])\b")
_NUMBER = re.compile(NUMBER)


def say_series(text: str) -> str:
    """`text` with telephone numbers said, and with "to" in ranges: before units, which follow the second number."""
    text = _PHONE.sub(_say_phone, text.replace("24/7", "twenty-four seven"))
    return _RANGE.sub(r"\1 to \2", text)


def say_numbers(text: str) -> str:
    """`text` with its numbers in words."""
    text = _VULGAR.sub(lambda at: f"{at[1]} and {_FRACTIONS[at[2]]}" if at[1] else _FRACTIONS[at[2]], text)
    text = _VERSION.sub(lambda at: " point ".join(cardinal(part) for part in at[1].split(".")), text)
    text = _ORDINAL.sub(lambda at: ordinal(int(at[1])), text)
    text = _FRACTION.sub(_say_fraction, text)
    text = _HASH.sub("number ", text)
    for pattern, words in _ARITHMETIC:
        text = pattern.sub(words, text)
    text = _RATIO.sub(r"\1 to \2", text)
    text = _SCALED.sub(r"\1 thousand", text)
    text = _MINUS.sub("minus ", text)
    return _NUMBER.sub(_say_number, text)


def _say_number(at: re.Match[str]) -> str:
    """The number in words, apart from letters that it stood against ("B2" is "B two")."""
    text, start, end = at.string, at.start(), at.end()
    before = " " if start and text[start - 1].isalpha() else ""
    after = " " if end < len(text) and text[end].isalpha() else ""
    return f"{before}{cardinal(at[0].replace(',', ''))}{after}"


def _say_phone(at: re.Match[str]) -> str:
    groups = re.findall(r"\d+", at[0])
    if sum(map(len, groups)) < 7 or sum(map(len, groups)) > MAX_CARDINAL_DIGITS:
        return at[0]
    said = ", ".join(digits(group) for group in groups)
    return f"plus {said}" if at[0].startswith("+") else said


def _say_fraction(at: re.Match[str]) -> str:
    top, bottom = int(at[1]), int(at[2])
    if not 1 < bottom <= 20 or not 0 < top < bottom:
        return f"{at[1]} over {at[2]}"
    part = _PARTS.get(bottom) or ordinal(bottom)
    if top == 1:
        return f"one {part}"
    return f"{cardinal(at[1])} {'halves' if part == 'half' else part + 's'}"
