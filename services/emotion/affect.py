"""Valence and arousal of the emotions, after Russell's circumplex (1980), and distributions over them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from oviya.emotions.tables import load_emotions

Shares = dict[str, float]
"""A distribution over the emotions: name -> share; the shares add up to 1."""

MAX_INTENSITY_AT = 0.8
"""Distance from neutral, in valence and arousal, from which on a feeling has intensity 1."""


@dataclass(frozen=True, slots=True)
class Affect:
    """Valence and arousal, -1 to 1 each."""

    valence: float
    arousal: float

    def distance(self, other: Affect) -> float:
        """Euclidean distance, 0 to 2.8."""
        return math.hypot(self.valence - other.valence, self.arousal - other.arousal)

    @property
    def intensity(self) -> float:
        """How strong the feeling is, 0 (neutral) to 1."""
        return min(1.0, math.hypot(self.valence, self.arousal) / MAX_INTENSITY_AT)


def load_affects() -> dict[str, Affect]:
    """Returns valence and arousal of each of the 49 emotions."""
    return {name: Affect(emotion.valence, emotion.arousal) for name, emotion in load_emotions().items()}


def centre(shares: Mapping[str, float], affects: Mapping[str, Affect]) -> Affect:
    """Returns the mean valence and arousal of the emotions, weighted by their shares."""
    return Affect(
        sum(share * affects[name].valence for name, share in shares.items()),
        sum(share * affects[name].arousal for name, share in shares.items()),
    )


def mixed(a: Mapping[str, float], b: Mapping[str, float], share_b: float) -> Shares:
    """Returns the mixture of two distributions in which `b` has the share `share_b`."""
    names = dict.fromkeys([*a, *b])
    return {name: (1 - share_b) * a.get(name, 0.0) + share_b * b.get(name, 0.0) for name in names}


def ranked(shares: Mapping[str, float], count: int) -> tuple[tuple[str, float], ...]:
    """Returns the `count` largest (emotion, share), largest first, without those of share 0."""
    best = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))[:count]
    return tuple((name, share) for name, share in best if share > 0)
