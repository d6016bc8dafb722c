"""Reads GoEmotions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.emotion.words.text_features import words_of

FOLDS = 4
_FOLD_SEED = 0


@dataclass(frozen=True)
class Texts:
    """Texts and their labels, shape (texts, labels), 0 or 1; a text may have several."""

    texts: list[str]
    labels: NDArray[np.int8]

    def folds(self) -> NDArray[np.int64]:
        """Returns the fold of each text, shape (texts,)."""
        return np.random.default_rng(_FOLD_SEED).integers(0, FOLDS, len(self.texts))


def read_labels(folder: Path) -> list[str]:
    """Returns the names of the labels, in the order of their numbers."""
    return (folder / "labels.txt").read_text("utf-8").split()


def read_texts(path: Path, label_count: int) -> Texts:
    """Reads one of the tables.

    Raises:
        ValueError: a line is not text, label numbers and id.
    """
    texts: list[str] = []
    rows: list[NDArray[np.int8]] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        fields = line.split("\t")
        if len(fields) != 3:
            raise ValueError(f"{path}:{number}: {len(fields)} fields instead of 3")
        row = np.zeros(label_count, np.int8)
        row[[int(label) for label in fields[1].split(",")]] = 1
        texts.append(fields[0])
        rows.append(row)
    return Texts(texts, np.array(rows))


def as_spoken(text: str) -> str:
    """Returns the text as speech-to-text would write it: lower case, no punctuation, no signs."""
    return " ".join(word for word in words_of(text) if re.match(r"\w|\[", word))
