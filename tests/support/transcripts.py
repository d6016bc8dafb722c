"""Compares transcripts by their words alone, as Whisper's evaluation does: ways of writing do not count as errors."""

from __future__ import annotations

import re

from num2words import num2words

_CONTRACTIONS = {
    r"\bwon't\b": "will not",
    r"\bcan't\b|\bcannot\b": "can not",
    r"\bshan't\b": "shall not",
    r"n't\b": " not",
    r"\b(let)'s\b": r"\1 us",
    # "'s" after other words is mostly a possessive.
    r"\b(it|that|what|there|here|who|where|when|how|he|she)'s\b": r"\1 is",
    r"'m\b": " am",
    r"'re\b": " are",
    r"'ve\b": " have",
    r"'ll\b": " will",
    r"'d\b": " would",
}
_SYMBOLS = {"&": " and ", "%": " percent ", "#": " pound ", "*": " star "}
# Written in one word or two.
_COMPOUNDS = (
    "file name",
    "mail box",
    "voice mail",
    "re enter",
    "re entered",
    "re record",
    "black list",
    "white list",
)
_SPELLINGS = {"ok": "okay", "alright": "all right"}


def normalized(text: str) -> str:
    """Returns the words of `text`, separated by spaces, in one way of writing.

    Lower case without punctuation; contractions expanded ("I'm": "i am"); numbers in words ("21st": "twenty first");
    spelled letters joined ("P.B.X.": "pbx"); compounds joined ("file name": "filename").
    """
    text = text.lower().replace("\u2019", "'")
    for pattern, expansion in _CONTRACTIONS.items():
        text = re.sub(pattern, expansion, text)
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    text = re.sub(r"\b[a-z](?:[.-][a-z])+\b", lambda match: re.sub("[.-]", "", match[0]), text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"(\d+)(st|nd|rd|th)\b", lambda match: _in_words(match[1], "ordinal"), text)
    text = re.sub(r"\d+(\.\d+)?", lambda match: _in_words(match[0], "cardinal"), text)
    words = [_SPELLINGS.get(word, word) for word in re.sub(r"[^\w\s]|_", " ", text.replace("'", "")).split()]
    text = _join_letters(words)
    for compound in _COMPOUNDS:
        text = re.sub(rf"\b{compound}\b", compound.replace(" ", ""), text)
    return text


def _in_words(digits: str, to: str) -> str:
    number = float(digits) if "." in digits else int(digits)
    return f" {re.sub(r'[,-]| and ', ' ', num2words(number, to=to))} "


def _join_letters(words: list[str]) -> str:
    """Joins runs of single letters; "a" and "i" next to each other are words."""
    text = ""
    for before, word in zip(["", *words], words, strict=False):
        spelled = len(before) == len(word) == 1 and {before, word} - {"a", "i"}
        text += word if spelled else f" {word}"
    return text.strip()
