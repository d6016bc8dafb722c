"""The lexicon: words and phrases that show an emotion, and words that negate or strengthen them."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.emotion.words.tokens import DATA, Token, tokenize

WEIGHTS = {"strong": 1.5, "plain": 1.0, "weak": 0.5}
"""Weight of the words of each list."""

MIN_STEM_CHARS = 3
"""Length of the shortest stem before a ``*``; shorter ones would match too many words."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A phrase of the lexicon as tokens; a token that ends in ``*`` matches any ending."""

    tokens: tuple[str, ...]
    emotion: str
    weight: float

    def matches(self, tokens: Sequence[Token], at: int) -> bool:
        if at + len(self.tokens) > len(tokens):
            return False
        return all(
            token.text.startswith(wanted[:-1]) if wanted.endswith("*") else token.text == wanted
            for wanted, token in zip(self.tokens, tokens[at : at + len(self.tokens)], strict=True)
        )


@dataclass(slots=True)
class Lexicon:
    """The loaded tables."""

    negated: dict[str, str]
    """Emotion -> the emotion of its negation; empty: none."""
    negators: frozenset[str]
    factors: dict[str, float]
    vocabulary: set[str]
    """Every word of the tables."""
    _by_first: dict[str, list[Entry]] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        first = entry.tokens[0]
        key = first[:MIN_STEM_CHARS] + "*" if first.endswith("*") else first
        self._by_first.setdefault(key, []).append(entry)
        self.vocabulary.update(entry.tokens)

    def longest(self, tokens: Sequence[Token], at: int) -> Entry | None:
        """Returns the longest entry that begins at `at`; of equally long ones, whole words before stems."""
        text = tokens[at].text
        found = None
        for key in (text, text[:MIN_STEM_CHARS] + "*"):
            for entry in self._by_first.get(key, ()):
                if (found is None or len(entry.tokens) > len(found.tokens)) and entry.matches(tokens, at):
                    found = entry
        return found


def load_lexicon(emotions: Collection[str], folder: Path = DATA) -> Lexicon:
    """Reads `lexicon.toml` and `modifiers.toml`.

    Raises:
        ValueError: a table is faulty; the message names file, table and word.
    """
    tables = tomllib.loads((folder / "lexicon.toml").read_text("utf-8"))
    if unknown := sorted(set(tables) - set(emotions)):
        raise ValueError(f"lexicon.toml: unknown emotions: {unknown}")
    modifiers = tomllib.loads((folder / "modifiers.toml").read_text("utf-8"))
    lexicon = Lexicon(
        negated={name: _negated(name, table, emotions) for name, table in tables.items()},
        negators=frozenset(modifiers["negators"]),
        factors={word: float(factor) for word, factor in modifiers["factors"].items()},
        vocabulary=set(),
    )
    lexicon.vocabulary.update(lexicon.negators, lexicon.factors)
    owners: dict[tuple[str, ...], str] = {}
    for name, table in tables.items():
        for level, weight in WEIGHTS.items():
            for phrase in table.get(level, []):
                entry = _entry(phrase, name, weight)
                owner = owners.setdefault(entry.tokens, name)
                if owner != name:
                    raise ValueError(f"lexicon.toml: {phrase!r} is in both [{owner}] and [{name}]")
                lexicon.add(entry)
    return lexicon


def _negated(name: str, table: dict[str, Any], emotions: Collection[str]) -> str:
    if unknown := sorted(set(table) - {"negated", *WEIGHTS}):
        raise ValueError(f"lexicon.toml: [{name}] has unknown keys {unknown}")
    negated = str(table.get("negated", ""))
    if negated and negated not in emotions:
        raise ValueError(f"lexicon.toml: [{name}] negated = {negated!r} is not an emotion")
    return negated


def _entry(phrase: str, emotion: str, weight: float) -> Entry:
    tokens = tuple(token.text for token in tokenize(phrase))
    stem = next((token for token in tokens if token.endswith("*") and len(token) <= MIN_STEM_CHARS), None)
    if not tokens or stem is not None or phrase != phrase.lower():
        raise ValueError(f"lexicon.toml: [{emotion}] {phrase!r} must be lower case, with stems of 3 letters or more")
    return Entry(tokens, emotion, weight)
