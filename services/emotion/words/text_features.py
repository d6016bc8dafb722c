"""A text as the classifier reads it: words and signs, their pairs and triples, and the letters inside words.

Training (`training/emotion`) and the service both call this module, so that they cannot drift apart.  A feature is
named by its CRC-32: that needs no vocabulary of strings, and one in some ten million pairs of names collides.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence

MAX_CHARS = 8192
"""Characters that are read, from the end; more than any utterance has."""
LETTERS = (2, 3, 4, 5)
"""Lengths of the letter sequences inside a word."""
MAX_WORD_CHARS = 40
"""Letters of a word that are read: longer ones come from no language."""

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
"""Zero-width characters, direction marks, variation selectors and skin tones: they do not change what is said."""
_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"'})
_DRAWN = re.compile(r"(.)\1{2,}")
_TOKEN = re.compile(r"\[name\]|\[religion\]|[^\W_]+(?:'[^\W_]+)*|[!?.,;:]+|[^\s\w]")


def words_of(text: str) -> list[str]:
    """The words and signs of `text` in lower case; a character repeated three times or more stands twice."""
    clean = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text[-MAX_CHARS:])).translate(_QUOTES).lower()
    return [token[:MAX_WORD_CHARS] for token in _TOKEN.findall(_DRAWN.sub(r"\1\1", clean))]


def phrases_of(words: Sequence[str]) -> Iterator[str]:
    """Single words, pairs (with the text's beginning and end as words) and triples."""
    yield from words
    framed = ["<", *words, ">"]
    yield from (f"{a} {b}" for a, b in itertools.pairwise(framed))
    yield from (f"{a} {b} {c}" for a, b, c in zip(words, words[1:], words[2:], strict=False))


def letters_of(words: Sequence[str], lengths: Sequence[int] = LETTERS) -> Iterator[str]:
    """The letter sequences of each word, its edges marked; a ``#`` before each keeps them from being words."""
    for word in words:
        edged = f"_{word}_"
        for length in lengths:
            for start in range(len(edged) - length + 1):
                yield f"#{edged[start : start + length]}"


def key_of(feature: str) -> int:
    """The number that stands for a feature."""
    return zlib.crc32(feature.encode("utf-8", "surrogatepass"))
