"""Scores whether an English sentence ends after the words so far.

After "and then I went to the" it goes on; after "what time is it" it is complete.
"""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oviya.errors import CheckpointError

MODEL_FILE = Path(__file__).parent / "data" / "sentence_end.npz"
"""Weights of the sentence-end model, made by training/sentence_end.py."""

_WORDS = tomllib.loads((Path(__file__).parent / "data" / "sentence_words.toml").read_text(encoding="utf-8"))
CONJUNCTIONS = frozenset(_WORDS["conjunctions"])


class SentenceEnd:
    """A logistic regression over hashed word n-grams.

    Raises:
        CheckpointError: the file is missing or not a model of this kind.
    """

    def __init__(self, path: Path = MODEL_FILE) -> None:
        try:
            with np.load(path) as model:
                self._weights: NDArray[np.int8] = model["weights"]
                self._scale, self._bias = float(model["scale"]), float(model["bias"])
        except (OSError, KeyError, ValueError) as error:
            raise CheckpointError(f"cannot load the sentence-end model from {path}: {error}") from error

    def score(self, words: Sequence[str]) -> float:
        """Returns the log-odds that a sentence ends after `words` (lower case, not empty)."""
        buckets = [bucket(feature, len(self._weights)) for feature in features(words)]
        return self._bias + self._scale * int(self._weights[buckets].sum(dtype=np.int32))


def bucket(feature: str, buckets: int) -> int:
    """Returns the index of a feature's weight."""
    return zlib.crc32(feature.encode()) % buckets


def features(words: Sequence[str]) -> list[str]:
    """Returns the features of `words`: the last words, the first ones, the count and the last clause."""
    count, first = len(words), words[0]
    before3, before2, before, last = (["<s>"] * 3 + list(words))[-4:]
    clause = next((back for back in range(1, count) if words[count - 1 - back] in CONJUNCTIONS), None)
    opener = words[count - 1 - clause] if clause else "-"
    return [
        f"1 {last}",
        f"2 {before} {last}",
        f"3 {before2} {before} {last}",
        f"skip {before2} {last}",
        f"before {before}",
        f"before2 {before2} {before3}",
        f"length {min(count, 12)}",
        f"length last {min(count // 3, 3)} {last}",
        f"first last {first} {last}",
        f"first {' '.join(words[:2])}",
        f"clause {opener} {min(clause or 9, 5)}",
    ]


@cache
def sentence_end() -> SentenceEnd:
    """Returns the model; loads it once."""
    return SentenceEnd()
