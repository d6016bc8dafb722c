"""The beginning of a text that is spoken in a part of its time."""

from __future__ import annotations

import re

from oviya.text.speakable import speakable

_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]|[^\s\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]++")
"""A word, or a character of a script that puts no blanks between words."""


def spoken_prefix(text: str, share: float) -> str:
    """Returns the words of `text` that are spoken in the first part of the time that the whole text takes.

    A word takes time in proportion to its spoken form: "$9.99" counts as six words.  A word that is cut belongs to the
    prefix if at least half of it lies within the time.

    Args:
        text: the written form.
        share: part of the time, 0 to 1.
    """
    words = list(_WORD.finditer(text))
    lengths = [len(speakable(word.group())) + 1 for word in words]
    left, end = share * sum(lengths) + 1e-9, 0
    for word, length in zip(words, lengths, strict=True):
        if left < length / 2:
            break
        left -= length
        end = word.end()
    return text[:end]
