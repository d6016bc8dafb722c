"""What an utterance's sound says of the speaker's feeling, against the speaker's baseline.

`data/voice-tones.tsv` holds how far each tone of voice lies from the speaker's habit.  An utterance is compared with
each: the features are normal variables around the tone's place, and what comes out is how likely each tone is.
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
from services.emotion.catalogue import DATA
from services.emotion.voice.baseline import Baseline, FeatureTable
from services.emotion.voice.syllables import count_syllables
from services.emotion.voice.voice_features import NAMES, measure

TEMPER = 0.6
"""Factor on the evidence: the features are not independent, as the product of their likelihoods would have it."""
FULL_VOICED_S = 1.0
"""Voiced sound in seconds from which the confidence is not lowered."""
MIN_SHARE = 0.1
"""What every utterance teaches: somebody who always sounds sad to us simply has that voice."""
MAX_SHOWN = 3
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
    """What the voice says.

    Attributes:
        affect: pleasantness and activation.
        confidence: 0 (a guess) to 1.
        shares: of the emotions that the tones are; they add up to 1.
        tones: (tone, probability) best first; tones of `voice-tones.tsv`, or the hub model's labels.
        evidence: what differed most from the speaker's habit, for people, e.g. "pitch 2.4 st lower".
    """

    affect: Affect
    confidence: float
    shares: Shares
    tones: tuple[tuple[str, float], ...]
    evidence: tuple[str, ...]


class VoiceDetector(Protocol):
    """Judges an utterance's sound."""

    def judge(
        self, samples: NDArray[np.float32], baseline: Baseline, text: str = ""
    ) -> tuple[VoiceJudgement | None, Baseline]:
        """Judges 16 kHz samples, shape (samples,); returns None where no voice is heard, and the baseline after it.

        `text` is what was said, where it is known.
        """
        ...


class AcousticDetector:
    """Judges by the features and the tones.

    Raises:
        ValueError: a table is faulty.
    """

    def __init__(self, emotions: Collection[str], folder: Path = DATA) -> None:
        self.table = FeatureTable.load(folder)
        rows = list(read_tsv(folder / "voice-tones.tsv"))
        self._names = [row["tone"] for row in rows]
        self._emotions = [row["emotion"] for row in rows]
        if strange := sorted(set(self._emotions) - set(emotions)):
            raise ValueError(f"voice-tones.tsv: {strange} are no emotions")
        if NEUTRAL not in self._names:
            raise ValueError(f"voice-tones.tsv lacks {NEUTRAL!r}")
        self._offsets = np.array([[float(row[name]) for name in NAMES] for row in rows])
        self._priors = np.log([float(row["prior"]) for row in rows])
        self._valence = np.array([float(row["valence"]) for row in rows])
        self._arousal = np.array([float(row["arousal"]) for row in rows])

    def judge(
        self, samples: NDArray[np.float32], baseline: Baseline, text: str = ""
    ) -> tuple[VoiceJudgement | None, Baseline]:
        """Judges an utterance at 16 kHz, shape (samples,), full scale 1.0.

        The baseline learns as much from it as it is likely to be neutral.
        """
        measured = measure(samples, count_syllables(text))
        if measured is None:
            return None, baseline
        values = measured.features.values()
        expected, spread = baseline.usual(self.table)
        deviation = values - expected
        # An utterance that fits no tone (a shout into the microphone) fits the nearest, without drowning all others.
        distance = np.minimum(np.abs(deviation - self._offsets) / spread, 3.0)
        evidence = self._priors - 0.5 * TEMPER * (distance**2).sum(axis=1)
        shares = np.exp(evidence - evidence.max())
        shares /= shares.sum()
        likely = np.argsort(-shares, kind="stable")
        doubt = -float(shares @ np.log(np.maximum(shares, 1e-12))) / np.log(len(shares))
        judgement = VoiceJudgement(
            affect=Affect(float(shares @ self._valence), float(shares @ self._arousal)),
            confidence=float(1 - doubt) * min(1.0, measured.voiced_s / FULL_VOICED_S),
            shares=_added(zip(self._emotions, shares.tolist(), strict=True)),
            tones=tuple((self._names[index], float(shares[index])) for index in likely),
            evidence=_described(deviation, deviation / spread),
        )
        neutral = float(shares[self._names.index(NEUTRAL)])
        return judgement, baseline.learned(values, max(neutral, MIN_SHARE))


def _added(pairs: Iterable[tuple[str, float]]) -> Shares:
    total: Shares = {}
    for emotion, share in pairs:
        total[emotion] = total.get(emotion, 0.0) + share
    return total


def _described(deviation: NDArray[np.float64], standard: NDArray[np.float64]) -> tuple[str, ...]:
    """The largest deviations in words: only those of at least one spread."""
    order = np.argsort(-np.abs(standard), kind="stable")[:MAX_SHOWN]
    return tuple(_phrase(NAMES[index], float(deviation[index])) for index in order if abs(standard[index]) >= 1)


def _phrase(name: str, deviation: float) -> str:
    what, more, less, unit = _PHRASES[name]
    amount = {"%": f"{abs(np.expm1(deviation)) * 100:.0f} %", "points": f"{abs(deviation) * 100:.0f} points"}
    return f"{what} {amount.get(unit, f'{abs(deviation):.1f} {unit}')} {more if deviation > 0 else less}"
