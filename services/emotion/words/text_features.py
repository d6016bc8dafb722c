"""Features of a text for the classifier: words and signs, their pairs and triples, and letter sequences in words.

Training (`training/emotion`) and the service share this module, so that their features are the same.  A feature is
identified by its CRC-32, so no vocabulary of strings is stored.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence

MAX_CHARS = 8192
"""Characters that are read, from the end; longer than any utterance."""
LETTERS = (2, 3, 4, 5)
"""Lengths of the letter sequences inside a word."""
MAX_WORD_CHARS = 40
"""Letters of a word that are read."""

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
"""Zero-width characters, direction marks, variation selectors and skin tones: they do not change the meaning."""
_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"'})
_DRAWN = re.compile(r"(.)\1{2,}")
_TOKEN = re.compile(r"\[name\]|\[religion\]|[^\W_]+(?:'[^\W_]+)*|[!?.,;:]+|[^\s\w]")


def words_of(text: str) -> list[str]:
    """Returns the words and signs of `text` in lower case; of a repeated character at most two are kept."""
    clean = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text[-MAX_CHARS:])).translate(_QUOTES).lower()
    return [token[:MAX_WORD_CHARS] for token in _TOKEN.findall(_DRAWN.sub(r"\1\1", clean))]


def phrases_of(words: Sequence[str]) -> Iterator[str]:
    """Yields single words, pairs (with markers for the beginning and end of the text) and triples."""
    yield from words
    framed = ["<", *words, ">"]
    yield from (f"{a} {b}" for a, b in itertools.pairwise(framed))
    yield from (f"{a} {b} {c}" for a, b, c in zip(words, words[1:], words[2:], strict=False))


def letters_of(words: Sequence[str], lengths: Sequence[int] = LETTERS) -> Iterator[str]:
    """Yields the letter sequences of each word with its edges marked; a ``#`` prefix tells them from words."""
    for word in words:
        edged = f"_{word}_"
        for length in lengths:
            for start in range(len(edged) - length + 1):
                yield f"#{edged[start : start + length]}"


def key_of(feature: str) -> int:
    """Returns the number of a feature."""
    return zlib.crc32(feature.encode("utf-8", "surrogatepass"))
