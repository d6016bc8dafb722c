"""Judges the speaker's feeling from an utterance's sound, relative to the speaker's baseline.

`data/vocal-expressions.tsv` holds how far the features of each vocal expression (sad, calm, joyful ...) are from the
baseline.  The likelihood of each expression is that of normal variables around these means.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oviya.emotions.tables import NEUTRAL, read_tsv
from services.emotion.affect import Affect, Shares
from services.emotion.voice.baseline import DATA, Baseline, FeatureTable
from services.emotion.voice.syllables import count_syllables
from services.emotion.voice.voice_features import NAMES, measure

TEMPER = 0.6
"""Factor on the log-likelihood, because the features are not independent."""
FULL_VOICED_S = 1.0
"""Voiced sound in seconds below which the confidence is lowered."""
MIN_SHARE = 0.1
"""Least weight of an utterance in the baseline: a voice that always seems sad is simply like that."""
MAX_NOTES = 3
_PHRASES = {
    "f0_mean": ("pitch", "higher", "lower", "st"),
    "f0_range": ("melody", "wider", "flatter", "%"),
    "level": ("loudness", "louder", "quieter", "dB"),
    "rate": ("pace", "faster", "slower", "%"),
    "pauses": ("pauses", "more", "fewer", "points"),
    "brightness": ("timbre", "brighter", "darker", "dB"),
    "clearness": ("voice", "clearer", "rougher", "dB"),
    "f0_slope": ("line", "rising", "falling", "st/s"),
}


@dataclass(frozen=True, slots=True)
class VoiceJudgement:
    """What the voice shows.

    Attributes:
        affect: valence and arousal.
        confidence: 0 (a guess) to 1.
        shares: of the emotions; they add up to 1.
        labels: (vocal expression or label of the hub model, probability), best first.
        notes: what differs most from the baseline, for display, e.g. "pitch 2.4 st lower".
    """

    affect: Affect
    confidence: float
    shares: Shares
    labels: tuple[tuple[str, float], ...]
    notes: tuple[str, ...]


class VoiceDetector(Protocol):
    """Judges an utterance's sound."""

    def judge(
        self, samples: NDArray[np.float32], baseline: Baseline, text: str = ""
    ) -> tuple[VoiceJudgement | None, Baseline]:
        """Judges an utterance.

        Args:
            samples: its sound at 16 kHz, shape (samples,), full scale 1.0.
            baseline: of the speaker, before it.
            text: what was said; empty if unknown.

        Returns:
            The judgement, None if there is no voice in it, and the baseline after it.
        """
        ...


class AcousticDetector:
    """Judges by acoustic features and the table of vocal expressions.

    Raises:
        ValueError: a table is faulty.
    """

    def __init__(self, emotions: Collection[str], folder: Path = DATA) -> None:
        self.table = FeatureTable.load(folder)
        rows = list(read_tsv(folder / "vocal-expressions.tsv"))
        self._names = [row["expression"] for row in rows]
        self._emotions = [row["emotion"] for row in rows]
        if unknown := sorted(set(self._emotions) - set(emotions)):
            raise ValueError(f"vocal-expressions.tsv: unknown emotions: {unknown}")
        if NEUTRAL not in self._names:
            raise ValueError(f"vocal-expressions.tsv lacks {NEUTRAL!r}")
        self._offsets = np.array([[float(row[name]) for name in NAMES] for row in rows])
        self._priors = np.log([float(row["prior"]) for row in rows])
        self._valence = np.array([float(row["valence"]) for row in rows])
        self._arousal = np.array([float(row["arousal"]) for row in rows])

    def judge(
        self, samples: NDArray[np.float32], baseline: Baseline, text: str = ""
    ) -> tuple[VoiceJudgement | None, Baseline]:
        """See `VoiceDetector`.  The utterance's weight in the baseline is the probability that it is neutral."""
        measured = measure(samples, count_syllables(text))
        if measured is None:
            return None, baseline
        values = measured.features.values()
        expected, spread = baseline.usual(self.table)
        deviation = values - expected
        # Limited, so that an utterance far from every expression (a shout) does not leave all others without a share.
        deviations = np.minimum(np.abs(deviation - self._offsets) / spread, 3.0)
        log_likelihood = self._priors - 0.5 * TEMPER * (deviations**2).sum(axis=1)
        shares = np.exp(log_likelihood - log_likelihood.max())
        shares /= shares.sum()
        order = np.argsort(-shares, kind="stable")
        entropy = -float(shares @ np.log(np.maximum(shares, 1e-12))) / np.log(len(shares))
        judgement = VoiceJudgement(
            affect=Affect(float(shares @ self._valence), float(shares @ self._arousal)),
            confidence=float(1 - entropy) * min(1.0, measured.voiced_s / FULL_VOICED_S),
            shares=shares_of(zip(self._emotions, shares.tolist(), strict=True)),
            labels=tuple((self._names[index], float(shares[index])) for index in order),
            notes=_notes(deviation, deviation / spread),
        )
        neutral = float(shares[self._names.index(NEUTRAL)])
        return judgement, baseline.learned(values, max(neutral, MIN_SHARE))


def shares_of(pairs: Iterable[tuple[str, float]]) -> Shares:
    """Adds up the shares of labels that stand for the same emotion."""
    total: Shares = {}
    for emotion, share in pairs:
        total[emotion] = total.get(emotion, 0.0) + share
    return total


def _notes(deviation: NDArray[np.float64], standard: NDArray[np.float64]) -> tuple[str, ...]:
    """Describes the largest deviations, if they are at least one spread."""
    order = np.argsort(-np.abs(standard), kind="stable")[:MAX_NOTES]
    return tuple(_phrase(NAMES[index], float(deviation[index])) for index in order if abs(standard[index]) >= 1)


def _phrase(name: str, deviation: float) -> str:
    what, more, less, unit = _PHRASES[name]
    amount = {"%": f"{abs(np.expm1(deviation)) * 100:.0f} %", "points": f"{abs(deviation) * 100:.0f} points"}
    return f"{what} {amount.get(unit, f'{abs(deviation):.1f} {unit}')} {more if deviation > 0 else less}"
