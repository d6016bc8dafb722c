"""Finds an emotion by any of its names: its own, an alias such as "joy", or a prosody label such as "happy"."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from oviya.emotions import tables
from oviya.emotions.tables import NEUTRAL, Emotion, load_aliases, load_emotions, read_tsv
from oviya.errors import InvalidInput

DATA = Path(__file__).with_name("data")

MAX_NAME_CHARS = 64
"""Longest name that is compared with the known ones, of which the longest has 16 letters."""

MAX_SUGGESTIONS = 5
NEAR_ENOUGH = 0.6
"""Similarity (difflib's ratio) from which on a known name is suggested for an unknown one."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """An emotion, and the prosody label of the alias that it was found by; empty if it was found by its own name."""

    emotion: Emotion
    alias_label: str


class Catalogue:
    """The emotions and their other names.

    Args:
        emotions: by name.
        aliases: alias -> prosody label.
        labels: prosody label -> name of the nearest emotion.
    """

    def __init__(self, emotions: Mapping[str, Emotion], aliases: Mapping[str, str], labels: Mapping[str, str]) -> None:
        self._by_name = emotions
        self._aliases = aliases
        self._labels = labels

    @classmethod
    def load(cls, folder: Path = tables.DATA) -> Catalogue:
        """Reads the shared tables in `folder`, and the prosody labels.

        Raises:
            ValueError: a table uses a label or emotion that another table lacks.
        """
        labels = {row["label"]: row["emotion"] for row in read_tsv(DATA / "prosody-labels.tsv")}
        aliases = {alias.name: alias.prosody_label for alias in load_aliases(folder) if alias.prosody_label}
        emotions = load_emotions(folder)
        if unknown := sorted(set(aliases.values()) - set(labels)):
            raise ValueError(f"aliases.tsv uses labels that prosody-labels.tsv lacks: {unknown}")
        if unknown := sorted(set(labels.values()) - set(emotions)):
            raise ValueError(f"prosody-labels.tsv uses emotions that emotions.tsv lacks: {unknown}")
        return cls(emotions, aliases, labels)

    def __iter__(self) -> Iterator[Emotion]:
        """Yields all emotions in the order of their table."""
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def other_names(self, emotion: Emotion) -> list[str]:
        """Returns the aliases, then the prosody labels of `emotion` that are not names of emotions."""
        leads_to = {alias: self._labels[label] for alias, label in self._aliases.items()}
        for label, target in self._labels.items():
            leads_to.setdefault(label, target)
        return [name for name, target in leads_to.items() if target == emotion.name and name not in self._by_name]

    @property
    def neutral(self) -> Emotion:
        return self._by_name[NEUTRAL]

    def resolve(self, name: str, *, field: str = "emotion") -> Resolved:
        """Finds the emotion called `name`: its own name first, then an alias, then a prosody label.

        Case is ignored, and ``-`` and spaces count as ``_``.  An empty name is neutral.  An alias reports its label
        even if it is also the name of an emotion ("curious"), because the caller may know the voice by that label.

        Raises:
            InvalidInput: the name is not known; the error has the nearest known names.
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
        """Returns known names like `key`, best first: those with it as a word, then those of similar spelling."""
        if len(key) > MAX_NAME_CHARS:
            return []
        known = [*self._by_name, *self._aliases, *self._labels]
        containing = [name for name in known if key in name.split("_")]
        similar = difflib.get_close_matches(key, known, n=MAX_SUGGESTIONS, cutoff=NEAR_ENOUGH)
        return list(dict.fromkeys(containing + similar))[:MAX_SUGGESTIONS]


def canonical(name: str) -> str:
    """Returns `name` in the spelling of the tables: lower case, words joined by ``_``."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower()).strip("_")
