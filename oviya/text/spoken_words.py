"""Which words of a text are spoken when, in parts of the time that the whole text takes."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate

from oviya.text.speakable import speakable

_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]|[^\s\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]++")
"""A word, or a character of a script that puts no blanks between words."""


class SpokenWords:
    """The words of a text, each taking time in proportion to its spoken form: "$9.99" counts as six words.

    Args:
        text: the written form.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        words = list(_WORD.finditer(text))
        lengths = [len(speakable(word.group())) + 1 for word in words]
        total = sum(lengths) or 1
        self._ends = [end / total for end in accumulate(lengths)]
        self._halves = [end - length / total / 2 for end, length in zip(self._ends, lengths, strict=True)]
        self._chars = [word.end() for word in words]

    def prefix(self, share: float) -> str:
        """Returns the words that are spoken in the first part of the time.

        A word that is cut belongs to the prefix if at least half of it lies within the time.

        Args:
            share: part of the time, 0 to 1.
        """
        return self._text[: self.chars(share)]

    def chars(self, share: float) -> int:
        """Returns the length of `prefix(share)`."""
        words = bisect_right(self._halves, share + 1e-9)
        return self._chars[words - 1] if words else 0

    def word_start(self, share: float) -> float:
        """Returns the part of the time at which the word begins that is spoken at `share`."""
        words = bisect_right(self._ends, share)
        return self._ends[words - 1] if words else 0.0
