"""Normalizes characters: removes invisible ones and replaces typographic variants of letters."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_INVISIBLE = frozenset(["Cc", "Cf", "Co", "Cs", "Cn"])
_KEPT = frozenset("\n\u200d\ufe0f\u20e3")
"""Line ends, which matter to markup, and the joiners of emoji."""
_FOLDED = frozenset(["<font>", "<wide>", "<narrow>", "<circle>", "<square>", "<compat>", "<sub>", "<fraction>"]) | {
    "<initial>", "<medial>", "<final>", "<isolated>", "<noBreak>",
}  # fmt: skip
"""Kinds of compatibility decomposition of typographic variants (Unicode, UAX #44, table 14)."""
_OWN_MEANING = frozenset("\u2026\u2116\u2122\u2120\u203c\u2047\u2048\u2049\u00b4\u00b8\u00a8\u00af\u02d8\u2025\u2017")
"""Signs with a decomposition that have a pronunciation of their own, or stand for a pause."""
_COMBINING = range(0x0300, 0x0370)


def plain_characters(text: str, *, signs: bool = True) -> str:
    """Composes characters, removes invisible ones and makes letters and digits plain.

    Full-width forms, mathematical alphanumerics, ligatures, circled digits and presentation forms become the letters
    that they represent.  Superscripts stay, since "m\u00b2" is not read like "m2".

    Args:
        text: as it was written.
        signs: whether full-width punctuation, which Chinese and Japanese keep, becomes narrow as well.
    """
    if text.isascii() and text.isprintable():
        return text
    composed = unicodedata.normalize("NFC", "".join(_plain(c) if signs or not _is_mark(c) else c for c in text))
    return "".join(c for c in composed if ord(c) not in _COMBINING)


def without_invisible(text: str) -> str:
    """Removes control, format and unassigned characters; tabs become spaces, line ends and joiners stay."""
    if text.isprintable():
        return text
    return "".join(" " if c == "\t" else c for c in text if c in _KEPT or c == "\t" or _visible(c))


@lru_cache(maxsize=4096)
def _visible(character: str) -> bool:
    return unicodedata.category(character) not in _INVISIBLE


@lru_cache(maxsize=4096)
def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "P" and not character.isascii()


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:  # noqa: PLR0911 (one rule a line)
    if character.isascii():
        return character if character.isprintable() or character == "\n" else " " if character == "\t" else ""
    if character in _KEPT or character in _OWN_MEANING:
        return character
    if character in "\u2028\u2029\u0085":
        return "\n"
    category = unicodedata.category(character)
    if category in _INVISIBLE:
        return ""
    if category == "Zs":
        return " "
    kind = unicodedata.decomposition(character).partition(" ")[0]
    if kind in _FOLDED:
        folded = unicodedata.normalize("NFKC", character)
        return f" {folded}" if kind == "<fraction>" else folded
    return character
