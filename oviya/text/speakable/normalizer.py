"""Normalizes text for speech, in steps: an earlier step verbalizes what a later one would misread."""

from __future__ import annotations

import re
from functools import partial

from oviya.text.language_tags import is_english
from oviya.text.scripts import LATIN, main_script
from oviya.text.speakable.characters import plain_characters, without_invisible
from oviya.text.speakable.codes import say_codes, say_phones
from oviya.text.speakable.dates import say_dates, say_times
from oviya.text.speakable.markup import without_markup
from oviya.text.speakable.money import say_money
from oviya.text.speakable.numbers import plain_numbers, say_numbers, say_series
from oviya.text.speakable.pictures import say_pictures
from oviya.text.speakable.quantities import say_quantities
from oviya.text.speakable.roman import say_roman_numerals
from oviya.text.speakable.signs import say_short_forms, say_signs
from oviya.text.speakable.web import say_addresses

_ENGLISH = (
    plain_characters,
    without_markup,
    plain_characters,  # what HTML entities stood for
    say_addresses,
    say_pictures,
    say_short_forms,
    say_roman_numerals,
    say_codes,
    plain_numbers,
    say_dates,
    say_times,
    say_money,
    say_phones,
    say_series,
    say_quantities,
    say_numbers,
    say_signs,
)
_LETTERS = partial(plain_characters, signs=False)
_OTHER = (_LETTERS, partial(without_markup, numbered=False), _LETTERS, say_pictures)
_SHRUG = "\u00af\\_(\u30c4)_/\u00af"  # otherwise read as markup
_BLANKS = re.compile(r"[^\S\n]++")
_LINE_ENDS = re.compile(r"\n[\n ]*+")
_SPACE = re.compile(r"\s++")
_SPACE_BEFORE_MARK = re.compile(r" ([,.;:!?\u2026])")
_MARKS = re.compile(r"([,;:])(?: ?[,;:])++")
_MARK_AND_STOP = re.compile(r"[,;:] ?([.!?\u2026])")
_EMPTY_BRACKETS = re.compile(r"\( ?\)|\[ ?\]|\" ?\"(?!\w)")


def speakable(text: str, language: str = "") -> str:
    """Verbalizes numbers, codes, dates, times, money, units, addresses and signs, and removes markup.

    English is verbalized.  Text in another language, or mainly in another script than Latin, keeps its numbers, which a
    voice for that language reads.  Emoji next to words are removed; emoji alone are named, so that an answer is not
    lost.

    Args:
        text: what to say.
        language: its language (BCP 47); empty: English if its script is Latin.

    Returns:
        One line; empty if there is nothing to speak.
    """
    text = text.replace(_SHRUG, "\U0001f937")
    text = _LINE_ENDS.sub("\n", _BLANKS.sub(" ", text))
    for step in _ENGLISH if is_english(language) and main_script(text) in (LATIN, "") else _OTHER:
        text = _BLANKS.sub(" ", step(text))  # the steps expect single spaces
    text = _SPACE.sub(" ", _EMPTY_BRACKETS.sub(" ", text))
    text = _SPACE_BEFORE_MARK.sub(r"\1", text)
    text = _MARK_AND_STOP.sub(r"\1", _MARKS.sub(r"\1", text)).strip().lstrip(",;:. ")
    return text if any(c.isalnum() for c in text) else ""


def written(text: str) -> str:
    """`text` for reading: without markup, control tokens and stage directions; numbers, signs and emoji stay.

    Returns:
        One line; may be empty.
    """
    text = _LINE_ENDS.sub("\n", _BLANKS.sub(" ", without_invisible(text)))
    return _SPACE.sub(" ", without_markup(text, numbered=False)).strip()
