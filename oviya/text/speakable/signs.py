"""Verbalizes signs and abbreviations."""

from __future__ import annotations

import re
import unicodedata

from oviya.text.tables import compiled, inverted, load_table

_TABLES = load_table("signs")
_TITLES: dict[str, str] = _TABLES["titles"]
_TITLE = re.compile(rf"\b({'|'.join(_TITLES)})\.(?=\s[A-Z])")
_SAINT = re.compile(r"(?:(?<=^)|(?<=[a-z,;:(\"] )|(?<=[.!?] ))St\.(?=\s[A-Z][a-z])")
_STREET = re.compile(r"(?<=[a-z] )(St|Ave|Blvd|Rd|Ln|Hwy)\.?(?= ?(?:[,;]|$|[.!?])|\s(?:and|in|at|near|to|is|was|on)\b)")
_STREETS: dict[str, str] = _TABLES["streets"]
_WORDS, _SIGNS = compiled(_TABLES["words"]), compiled(_TABLES["signs"])
_GREEK = inverted(_TABLES["greek"])
_SIGN = re.compile(r"[^A-Za-z0-9\s.,;:!?'\"()]")
"""Any character that the rules for signs may change; most sentences have none."""
_GREEK_LETTER = re.compile(f"(?<![\u0370-\u03ff])[{''.join(_GREEK)}](?![\u0370-\u03ff])")


def say_short_forms(text: str) -> str:
    """Expands titles and streets: "Dr. Smith" is "Doctor Smith"."""
    if "." not in text and not any(street in text for street in _STREETS):
        return text
    text = _TITLE.sub(lambda at: _TITLES[at[1]], text)
    text = _SAINT.sub("Saint", text)
    return _STREET.sub(
        lambda at: _STREETS[at[1]] + ("." if at[0].endswith(".") and at.end() == len(at.string) else ""), text
    )


def say_signs(text: str) -> str:
    """Verbalizes signs and abbreviations, and removes the other signs."""
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    if _SIGN.search(text) is None:
        return text
    for pattern, words in _SIGNS:
        text = pattern.sub(words, text)
    if text.isascii():
        return text
    text = _GREEK_LETTER.sub(_say_greek, text)
    return "".join(sign for sign in text if unicodedata.category(sign) not in ("So", "Sk", "Sm"))


def _say_greek(at: re.Match[str]) -> str:
    """A Greek letter in Latin text, as in a formula."""
    before = " " if at.start() and at.string[at.start() - 1].isalnum() else ""
    after = " " if at.end() < len(at.string) and at.string[at.end()].isalnum() else ""
    return f"{before}{_GREEK[at[0]]}{after}"
