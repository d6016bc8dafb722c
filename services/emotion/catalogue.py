"""The 49 emotions and the other names that they are known by; all of it is data under `data/`.

Three tables: `emotions.tsv` (the emotions), `emotion-aliases.tsv` (seed names such as "joy" with a prosody label such
as "happy") and `prosody-labels.tsv` (each prosody label with the nearest of the 49, and why).
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from oviya.errors import InvalidInput

DATA = Path(__file__).with_name("data")

MAX_NAME_CHARS = 64
"""Longest name that is looked up: the longest known one has 16 letters; nothing longer can be a near miss."""

MAX_SUGGESTIONS = 5
NEAR_ENOUGH = 0.6
"""Similarity (difflib's ratio) from which a known name is offered for an unknown one."""

NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Emotion:
    """One row of the table.  The scales are factors on the neutral voice: 1 leaves it as it is."""

    name: str
    tier: int
    style: str
    pitch_scale: float
    rate_scale: float
    energy_scale: float
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """An emotion, and the prosody label of the alias that led to it; empty where its own name did."""

    emotion: Emotion
    alias_label: str


class Catalogue:
    """Finds emotions by name, alias or prosody label."""

    def __init__(self, emotions: Sequence[Emotion], aliases: dict[str, str], labels: dict[str, str]) -> None:
        self._by_name = {emotion.name: emotion for emotion in emotions}
        self._aliases = aliases
        self._labels = labels

    @classmethod
    def load(cls, folder: Path = DATA) -> Catalogue:
        """Reads the three tables.

        Raises:
            ValueError: a table names a style, label or emotion that the others lack; the message says which.
        """
        labels = {row["label"]: row["emotion"] for row in read_tsv(folder / "prosody-labels.tsv")}
        aliases = {row["alias"]: row["csm_prosody"] for row in read_tsv(folder / "emotion-aliases.tsv")}
        rows = list(read_tsv(folder / "emotions.tsv"))
        names = {row["emotion"] for row in rows}
        if strange := sorted(set(aliases.values()) - set(labels)):
            raise ValueError(f"emotion-aliases.tsv uses labels that prosody-labels.tsv lacks: {strange}")
        if strange := sorted(set(labels.values()) - names):
            raise ValueError(f"prosody-labels.tsv uses emotions that emotions.tsv lacks: {strange}")
        # Aliases come before labels, as the design lists them; a name that an emotion bears itself is no other name.
        leads_to = {alias: labels[label] for alias, label in aliases.items()}
        leads_to |= {label: target for label, target in labels.items() if label not in leads_to}
        emotions = [
            Emotion(
                name=row["emotion"],
                tier=int(row["tier"]),
                style=row["style"],
                pitch_scale=float(row["pitch_scale"]),
                rate_scale=float(row["rate_scale"]),
                energy_scale=float(row["energy_scale"]),
                aliases=tuple(
                    other for other, target in leads_to.items() if target == row["emotion"] and other not in names
                ),
            )
            for row in rows
        ]
        return cls(emotions, aliases, labels)

    def __iter__(self) -> Iterator[Emotion]:
        """All emotions, in the order of their table."""
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def neutral(self) -> Emotion:
        return self._by_name[NEUTRAL]

    def resolve(self, name: str, *, field: str = "emotion") -> Resolved:
        """Finds the emotion called `name`: its own name first, then an alias, then a prosody label.

        Case does not matter, and ``-`` and spaces stand for ``_``.  Empty is neutral.  A seed alias reports its label
        even where it is spelled as an emotion ("curious"), because the caller may know the voice by that label.

        Raises:
            InvalidInput: no such name; carries the nearest known names.
        """
        key = canonical(name) if len(name) <= MAX_NAME_CHARS else name[: MAX_NAME_CHARS + 1]  # longer than any
        if not key:
            return Resolved(self.neutral, "")
        label = self._aliases.get(key, "")
        if key in self._by_name:
            return Resolved(self._by_name[key], label)
        if not label and key in self._labels:
            label = key
        if not label:
            raise InvalidInput(
                field,
                name,
                f"one of the {len(self)} emotions or their aliases",
                hint="EmotionService.ListEmotions lists them all",
                suggestions=self._nearest(key),
            )
        return Resolved(self._by_name[self._labels[label]], label)

    def _nearest(self, key: str) -> list[str]:
        """Known names near to `key`, best first: those that hold it as a word, then those spelled alike."""
        if len(key) > MAX_NAME_CHARS:
            return []
        known = [*self._by_name, *self._aliases, *self._labels]
        holding = [name for name in known if key in name.split("_")]
        alike = difflib.get_close_matches(key, known, n=MAX_SUGGESTIONS, cutoff=NEAR_ENOUGH)
        return list(dict.fromkeys(holding + alike))[:MAX_SUGGESTIONS]


def canonical(name: str) -> str:
    """`name` as the tables spell names: lower case, words joined by ``_``."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower()).strip("_")


def read_tsv(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a tab-separated table with a header line."""
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
