"""How a speaker usually sounds, learned from utterance to utterance.

Each feature is a normal variable: speakers differ by `between` around a `prior`, one speaker's neutral utterances by
`within` around the speaker's own mean.  The mean that was learned from n utterances is the usual conjugate estimate, in
which the prior counts as (within / between)^2 utterances.  So the first utterance is judged against people at large,
which says little about pitch and nothing about loudness, and later ones against the speaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oviya.emotions.tables import read_tsv
from services.emotion.catalogue import DATA
from services.emotion.voice.voice_features import NAMES

Floats = NDArray[np.float64]

MEMORY = 20.0
"""Utterances that a baseline remembers at most; older ones fade, because people come closer to the microphone."""


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """How the features vary; each array has shape (features,), in the order of `voice_features.NAMES`."""

    prior: Floats
    between: Floats
    within: Floats

    @classmethod
    def load(cls, folder: Path = DATA) -> FeatureTable:
        """Reads `voice-features.tsv`.

        Raises:
            ValueError: the table has other features than are measured, or a spread that is not above 0.
        """
        rows = {row["feature"]: row for row in read_tsv(folder / "voice-features.tsv")}
        if strange := sorted(set(rows) ^ set(NAMES)):
            raise ValueError(f"voice-features.tsv: features that are missing or not measured: {strange}")
        table = cls(*(np.array([float(rows[name][key]) for name in NAMES]) for key in ("prior", "between", "within")))
        if np.any(table.between <= 0) or np.any(table.within <= 0):
            raise ValueError("voice-features.tsv: between and within must be above 0")
        return table


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was learned of a speaker.

    Attributes:
        means: mean of each feature over the utterances, shape (features,) as a tuple; empty: none yet.
        weight: how many neutral utterances it rests on.
    """

    means: tuple[float, ...] = ()
    weight: float = 0.0

    @classmethod
    def restored(cls, means: Sequence[float], weight: float) -> Baseline:
        """A baseline as a caller gave it back.

        Raises:
            ValueError: it cannot have come from here.
        """
        if not means and weight == 0:
            return cls()
        if len(means) != len(NAMES):
            raise ValueError(f"{len(means)} means for {len(NAMES)} features")
        if not np.all(np.isfinite(means)) or not 0 < weight <= MEMORY:
            raise ValueError(f"means must be finite and the weight within 0 to {MEMORY:g}")
        return cls(tuple(means), weight)

    def usual(self, table: FeatureTable) -> tuple[Floats, Floats]:
        """What to expect of a neutral utterance: mean and spread of each feature, shape (features,) each."""
        prior_weight = (table.within / table.between) ** 2
        means = np.array(self.means) if self.means else np.zeros(len(NAMES))
        total = prior_weight + self.weight
        expected = (prior_weight * table.prior + self.weight * means) / total
        return expected, table.within * np.sqrt(1 + 1 / total)

    def learned(self, values: Floats, share: float) -> Baseline:
        """The baseline after an utterance that counts with `share`, 0 (not at all) to 1 (as a neutral one)."""
        if share <= 0:
            return self
        weight = min(self.weight, MEMORY - share)
        means = np.array(self.means) if self.means else values
        total = weight + share
        return Baseline(tuple(((weight * means + share * values) / total).tolist()), float(total))


NO_BASELINE = Baseline()
