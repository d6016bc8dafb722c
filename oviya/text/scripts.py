"""The script of a text."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from functools import lru_cache

from anyascii import anyascii

from oviya.text.tables import inverted, load_table

LATIN = "Latin"
_NAMES = inverted(load_table("scripts")["scripts"])
"""The first word of a letter's Unicode name -> its script."""
_GREEK = re.compile("[\u0370-\u03ff]")
_LONE_GREEK = re.compile("(?<![\u0370-\u03ff])[\u0370-\u03ff](?![\u0370-\u03ff])")
"""A symbol of a formula, not a word."""
_WEIGHTS = {"Han": 3, "Kana": 2, "Hangul": 2}
"""Letters that a character of these scripts counts as, since it is a syllable or a word."""


def main_script(text: str) -> str:
    """The script of most letters of `text`, e.g. "Latin"; empty: it has no letters.

    Japanese, which mixes Kana and Han, is "Kana".
    """
    if text.isascii():
        return LATIN if any(map(str.isalpha, text)) else ""
    counts = script_counts(_LONE_GREEK.sub(" ", text) if _GREEK.search(text) else text)
    if not counts:
        return ""
    if "Kana" in counts and "Han" in counts:
        counts["Kana"] += counts.pop("Han")
    return max(counts, key=lambda script: (counts[script], script == LATIN))


def script_counts(text: str) -> Counter[str]:
    """Counts the letters of each script."""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if script := script_of(character):
            counts[script] += count * _WEIGHTS.get(script, 1)
    return counts


@lru_cache(maxsize=8192)
def script_of(character: str) -> str:
    """The script of a letter; empty for other characters."""
    if not character.isalpha():
        return ""
    words = unicodedata.name(character, "").split(" ", 1)
    return _NAMES.get(words[0], words[0].capitalize())


def speaks(scripts: Collection[str], script: str) -> bool:
    """Whether a voice for `scripts` (empty: any) can speak a text in `script` (empty: no letters)."""
    if not scripts or not script or script in scripts:
        return True
    japanese = {"Kana", "Hiragana", "Katakana", "Jpan"}
    return (script == "Kana" and bool(japanese & set(scripts))) or (script == "Han" and "Jpan" in scripts)


def romanized(text: str, scripts: Collection[str] = (LATIN,)) -> str:
    """Transliterates letters of other scripts: "\u041c\u043e\u0441\u043a\u0432\u0430" becomes "Moskva"."""
    if text.isascii():
        return text
    return "".join(c if speaks(scripts, script_of(c)) else _romanized(c) for c in text)


@lru_cache(maxsize=8192)
def _romanized(character: str) -> str:
    return anyascii(character)
