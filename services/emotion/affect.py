"""Where the emotions lie: how pleasant and how roused each is, after Russell's circumplex (1980)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.emotion.catalogue import DATA, read_tsv

Shares = dict[str, float]
"""Emotion -> its share; the shares add up to 1."""

MAX_INTENSITY_AT = 0.8
"""Distance from neutral, in the plane of valence and arousal, of a feeling that is as strong as can be."""


@dataclass(frozen=True, slots=True)
class Affect:
    """A place in the plane: valence and arousal, -1 to 1 each."""

    valence: float
    arousal: float

    def distance(self, other: Affect) -> float:
        """How far apart two places are, 0 to 2.8."""
        return math.hypot(self.valence - other.valence, self.arousal - other.arousal)

    @property
    def intensity(self) -> float:
        """How strong a feeling at this place is, 0 (neutral) to 1."""
        return min(1.0, math.hypot(self.valence, self.arousal) / MAX_INTENSITY_AT)


def load_affects(emotions: Collection[str], folder: Path = DATA) -> dict[str, Affect]:
    """Reads `affects.tsv`.

    Raises:
        ValueError: it lacks an emotion, has one too many, or a value outside -1 to 1.
    """
    table = {
        row["emotion"]: Affect(float(row["valence"]), float(row["arousal"])) for row in read_tsv(folder / "affects.tsv")
    }
    if strange := sorted(set(table) ^ set(emotions)):
        raise ValueError(f"affects.tsv: rows that are missing or name no emotion: {strange}")
    for name, affect in table.items():
        if not (-1 <= affect.valence <= 1 and -1 <= affect.arousal <= 1):
            raise ValueError(f"affects.tsv: {name}: valence and arousal must be within -1 to 1")
    return table


def centre(shares: Mapping[str, float], affects: Mapping[str, Affect]) -> Affect:
    """The mean place of the emotions, each weighed with its share."""
    return Affect(
        sum(share * affects[name].valence for name, share in shares.items()),
        sum(share * affects[name].arousal for name, share in shares.items()),
    )


def mixed(a: Mapping[str, float], b: Mapping[str, float], share_b: float) -> Shares:
    """Both, `b` with `share_b` of the whole."""
    names = dict.fromkeys([*a, *b])
    return {name: (1 - share_b) * a.get(name, 0.0) + share_b * b.get(name, 0.0) for name in names}


def ranked(shares: Mapping[str, float], count: int) -> tuple[tuple[str, float], ...]:
    """The `count` largest (emotion, share), best first; those without a share are left out."""
    best = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))[:count]
    return tuple((name, share) for name, share in best if share > 0)
