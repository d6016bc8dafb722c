"""Counts the syllables of English words, accurately enough to measure the pace of speech."""

from __future__ import annotations

import re

_WORD = re.compile(r"[a-z']+")
_VOWELS = re.compile(r"[aeiouy]+")
_SILENT = re.compile(r"(?:[^aeiouyl]e|[^aeiouytd]ed|[^aeiouyszxcg]es)$")
"""Endings whose e is not spoken: "make", "asked", "makes"; but "table", "wanted", "boxes"."""


def count_syllables(text: str) -> int:
    """Returns the number of groups of vowels, without silent ones; every word has at least one."""
    count = 0
    for word in _WORD.findall(text.lower()):
        groups = len(_VOWELS.findall(word))
        count += max(1, groups - (1 if groups > 1 and _SILENT.search(word) else 0))
    return count
