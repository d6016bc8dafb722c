"""Finds known phrases among the words of a segment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")


class Found(NamedTuple, Generic[V]):
    """A phrase at word `start`, and its value."""

    start: int
    phrase: str
    value: V


class Phrases(Generic[V]):
    """Phrases by their first word, the longest first."""

    def __init__(self, values: Mapping[str, V]) -> None:
        self._by_first: dict[str, list[tuple[list[str], str, V]]] = {}
        for phrase in sorted(values, key=lambda phrase: -len(phrase.split())):
            words = phrase.split()
            self._by_first.setdefault(words[0], []).append((words, phrase, values[phrase]))

    @classmethod
    def of(cls, phrases: Iterable[str]) -> Phrases[None]:
        """Phrases without values."""
        return Phrases(dict.fromkeys(phrases))

    def at(self, words: Sequence[str], start: int) -> Found[V] | None:
        """The longest phrase that begins at `start`."""
        for phrase_words, phrase, value in self._by_first.get(words[start], ()):
            if list(words[start : start + len(phrase_words)]) == phrase_words:
                return Found(start, phrase, value)
        return None

    def find(self, text: str) -> Iterator[Found[V]]:
        """The phrases in `text` from left to right, without overlaps."""
        words = text.split()
        at = 0
        while at < len(words):
            found = self.at(words, at)
            if found:
                yield found
            at += len(found.phrase.split()) if found else 1

    def are_in(self, text: str) -> bool:
        """Whether `text` contains any of the phrases."""
        return next(self.find(text), None) is not None
