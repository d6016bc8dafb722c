"""The lexicon: which words and phrases show which emotion, and which words turn or strengthen them."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.emotion.words.tokens import Token, tokenize

DATA = Path(__file__).with_name("data")

WORTH = {"strong": 1.5, "plain": 1.0, "weak": 0.5}
"""What one word of each list adds to its emotion."""

MIN_STEM_CHARS = 3
"""Shortest stem before a ``*``; shorter ones would match half the language."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A phrase of the lexicon as tokens; a token that ends in ``*`` stands for any ending."""

    tokens: tuple[str, ...]
    emotion: str
    worth: float

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
    """Emotion -> the one that its negation suggests; empty: none."""
    negators: frozenset[str]
    factors: dict[str, float]
    vocabulary: set[str]
    """Every word that some table holds."""
    _by_first: dict[str, list[Entry]] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        first = entry.tokens[0]
        key = first[:MIN_STEM_CHARS] + "*" if first.endswith("*") else first
        self._by_first.setdefault(key, []).append(entry)
        self.vocabulary.update(entry.tokens)

    def longest(self, tokens: Sequence[Token], at: int) -> Entry | None:
        """The longest entry that begins at `at`; among equally long ones a whole word wins over a stem."""
        text = tokens[at].text
        found = None
        for key in (text, text[:MIN_STEM_CHARS] + "*"):
            for entry in self._by_first.get(key, ()):
                if (found is None or len(entry.tokens) > len(found.tokens)) and entry.matches(tokens, at):
                    found = entry
        return found


def load_lexicon(emotions: Collection[str], folder: Path = DATA) -> Lexicon:
    """Reads `lexicon.toml` and `modifiers.toml`.

    Args:
        emotions: the names that the lexicon may use.

    Raises:
        ValueError: a table is faulty; the message names file, table and word.
    """
    tables = tomllib.loads((folder / "lexicon.toml").read_text("utf-8"))
    if strange := sorted(set(tables) - set(emotions)):
        raise ValueError(f"lexicon.toml: tables that name no emotion: {strange}")
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
        for level, worth in WORTH.items():
            for phrase in table.get(level, []):
                entry = _entry(phrase, name, worth)
                owner = owners.setdefault(entry.tokens, name)
                if owner != name:
                    raise ValueError(f"lexicon.toml: {phrase!r} stands in both [{owner}] and [{name}]")
                lexicon.add(entry)
    return lexicon


def _negated(name: str, table: dict[str, Any], emotions: Collection[str]) -> str:
    if strange := sorted(set(table) - {"negated", *WORTH}):
        raise ValueError(f"lexicon.toml: [{name}] has unknown keys {strange}")
    negated = str(table.get("negated", ""))
    if negated and negated not in emotions:
        raise ValueError(f"lexicon.toml: [{name}] negated = {negated!r} is no emotion")
    return negated


def _entry(phrase: str, emotion: str, worth: float) -> Entry:
    tokens = tuple(token.text for token in tokenize(phrase))
    stem = next((token for token in tokens if token.endswith("*") and len(token) <= MIN_STEM_CHARS), None)
    if not tokens or stem is not None or phrase != phrase.lower():
        raise ValueError(f"lexicon.toml: [{emotion}] {phrase!r} must be lower case, with stems of 3 letters or more")
    return Entry(tokens, emotion, worth)
