"""The order in which text becomes speech: what a later step would misread is spoken out by an earlier one."""

from __future__ import annotations

import re
import unicodedata

from oviya.text.speakable.dates import say_dates, say_times
from oviya.text.speakable.markup import without_markup
from oviya.text.speakable.numbers import say_numbers, say_series
from oviya.text.speakable.quantities import say_money, say_quantities
from oviya.text.speakable.signs import say_emoji, say_signs
from oviya.text.speakable.web import say_addresses

_INVISIBLE = frozenset(["Cc", "Cf", "Co", "Cs", "Cn"])
_KEPT = "\n\u200d\ufe0f"
"""Line ends matter to markup; the last two join emoji."""
_STEPS = (
    without_markup,
    say_addresses,
    say_emoji,
    say_dates,
    say_times,
    say_series,
    say_money,
    say_quantities,
    say_numbers,
    say_signs,
)


def speakable(text: str) -> str:
    """Says `text` in words: numbers, dates, times, money, units, addresses, emoji, signs; markup goes.

    English.  Emoji beside words are dropped, as nobody says them; alone they are named, so that an answer is not lost.

    Returns:
        One line; empty where there is nothing to say.
    """
    text = "".join(c for c in text if c in _KEPT or unicodedata.category(c) not in _INVISIBLE or c == "\t")
    for step in _STEPS:
        text = step(text)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" ([,.;:!?\u2026])", r"\1", text)
    text = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", text).strip().lstrip(",; ")
    return text if any(c.isalnum() for c in text) else ""
