"""How a speaker usually sounds, estimated over the speaker's utterances.

Each feature is modelled as a normal variable: the means of speakers vary by `between` around a `prior`, and one
speaker's neutral utterances by `within` around the speaker's own mean.  The mean after n utterances is the usual
conjugate estimate, in which the prior counts as (within / between)^2 utterances.  So the first utterance is compared
with speakers in general, which says little about pitch and nothing about loudness, and later ones with the speaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oviya.emotions.tables import read_tsv
from services.emotion.voice.voice_features import NAMES

DATA = Path(__file__).with_name("data")

Floats = NDArray[np.float64]

MEMORY = 20.0
"""Largest weight of a baseline in utterances: older ones fade, as people move relative to the microphone."""


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """How the features vary.  Each array has shape (features,), in the order of `voice_features.NAMES`."""

    prior: Floats
    between: Floats
    within: Floats

    @classmethod
    def load(cls, folder: Path = DATA) -> FeatureTable:
        """Reads `voice-features.tsv`.

        Raises:
            ValueError: the features are not those that are measured, or a spread is not positive.
        """
        rows = {row["feature"]: row for row in read_tsv(folder / "voice-features.tsv")}
        if unknown := sorted(set(rows) ^ set(NAMES)):
            raise ValueError(f"voice-features.tsv: missing or unknown features: {unknown}")
        table = cls(*(np.array([float(rows[name][key]) for name in NAMES]) for key in ("prior", "between", "within")))
        if np.any(table.between <= 0) or np.any(table.within <= 0):
            raise ValueError("voice-features.tsv: between and within must be positive")
        return table


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known of a speaker's voice.

    Attributes:
        means: mean of each feature over the utterances, shape (features,) as a tuple; empty before the first.
        weight: how many neutral utterances it is based on.
    """

    means: tuple[float, ...] = ()
    weight: float = 0.0

    @classmethod
    def restored(cls, means: Sequence[float], weight: float) -> Baseline:
        """Checks a baseline that a caller sent back.

        Raises:
            ValueError: the values are not those of a baseline.
        """
        if not means and weight == 0:
            return cls()
        if len(means) != len(NAMES):
            raise ValueError(f"{len(means)} means for {len(NAMES)} features")
        if not np.all(np.isfinite(means)) or not 0 < weight <= MEMORY:
            raise ValueError(f"means must be finite and the weight within 0 to {MEMORY:g}")
        return cls(tuple(means), weight)

    def usual(self, table: FeatureTable) -> tuple[Floats, Floats]:
        """Returns mean and spread of each feature in a neutral utterance, shape (features,) each."""
        prior_weight = (table.within / table.between) ** 2
        means = np.array(self.means) if self.means else np.zeros(len(NAMES))
        total = prior_weight + self.weight
        expected = (prior_weight * table.prior + self.weight * means) / total
        return expected, table.within * np.sqrt(1 + 1 / total)

    def learned(self, values: Floats, share: float) -> Baseline:
        """Returns the baseline after an utterance of weight `share`, 0 to 1 (a neutral one)."""
        if share <= 0:
            return self
        weight = min(self.weight, MEMORY - share)
        means = np.array(self.means) if self.means else values
        total = weight + share
        return Baseline(tuple(((weight * means + share * values) / total).tolist()), float(total))


NO_BASELINE = Baseline()
