"""Judges which emotions a text shows.

The classifier predicts GoEmotions' 28 labels, which `data/labels.tsv` maps to the 49 emotions.  The lexicon covers
feelings without a label (tiredness, boredom, loneliness, envy ...).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from oviya.emotions.tables import NEUTRAL, read_tsv
from services.emotion.affect import Shares, mixed, ranked
from services.emotion.words.lexicon import DATA
from services.emotion.words.lexicon_detector import LexiconDetector
from services.emotion.words.negation import denied_words
from services.emotion.words.text_features import MAX_CHARS, words_of
from services.emotion.words.text_model import TextModel

UNSURE = 0.25
"""Factor on labels below their threshold; without it, many unlikely ones would outweigh the likely one."""
LEXICON_TRUST = 0.8
"""Largest share of the lexicon in a judgement."""
MAX_LABELS = 5
NOTED_FROM = 0.05
DENIED_FACTOR = 0.7
"""A denied feeling is weaker than its opposite: "not happy" is milder than "sad"."""
MAX_DENIED = 12
"""Most denied words that are scored, each by a run of the classifier."""


@dataclass(frozen=True, slots=True)
class TextJudgement:
    """What a text shows.

    Attributes:
        shares: of the emotions; they add up to 1.
        confidence: 0 (no known word) to 1.
        labels: (label, probability), best first.
        notes: what else was found, for display.
    """

    shares: Shares
    confidence: float
    labels: tuple[tuple[str, float], ...]
    notes: tuple[str, ...]


class TextDetector(Protocol):
    """Judges a whole utterance's text.  Implementations are fast (some 5 ms) and safe to call from several threads."""

    def judge(self, text: str) -> TextJudgement: ...


NOTHING = TextJudgement({NEUTRAL: 1.0}, 0.0, (), ())


class ClassifierDetector:
    """Judges by the classifier, and by the lexicon for feelings without a label.

    Raises:
        ValueError: `labels.tsv` lacks a label of the model, or has an unknown label or emotion.
    """

    def __init__(self, model: TextModel, lexicon: LexiconDetector, emotions: set[str], folder: Path = DATA) -> None:
        table = {
            row["label"]: (row["emotion"], row["denied"] or row["emotion"]) for row in read_tsv(folder / "labels.tsv")
        }
        if unknown := sorted(set(model.labels) ^ set(table)):
            raise ValueError(f"labels.tsv: missing or unknown labels: {unknown}")
        if unknown := sorted({name for names in table.values() for name in names} - emotions):
            raise ValueError(f"labels.tsv: unknown emotions: {unknown}")
        self._model = model
        self._lexicon = lexicon
        self._emotions = [table[label][0] for label in model.labels]
        self._neutral = model.labels.index(NEUTRAL)
        self._if_denied = [table[label][1] for label in model.labels]

    def judge(self, text: str) -> TextJudgement:
        """Judges a text of any length and script."""
        text = text[-MAX_CHARS:]
        scores = self._model.score(text)
        lexical = self._lexicon.judge(text)
        if not scores.known_share and not lexical:
            return NOTHING
        weights = scores.probabilities.astype(np.float64) * UNSURE
        chosen = list(scores.labels)
        weights[chosen] /= UNSURE
        weights *= scores.known_share
        total = float(weights.sum())
        shares: Shares = {}
        denied: set[int] = set()
        if total > 0:
            denied = self._denied_labels(text, scores.labels)
            for label, weight in enumerate(weights / total):
                is_denied = label in denied
                emotion = self._if_denied[label] if is_denied else self._emotions[label]
                scaled = float(weight) * (DENIED_FACTOR if is_denied else 1.0)
                shares[emotion] = shares.get(emotion, 0.0) + scaled
                shares[NEUTRAL] = shares.get(NEUTRAL, 0.0) + float(weight) - scaled
        else:
            shares = {NEUTRAL: 1.0}
        found = sum(lexical.values())
        if found:
            share = LEXICON_TRUST * found
            shares = mixed(shares, {emotion: weight / found for emotion, weight in lexical.items()}, share)
        order = np.argsort(-scores.probabilities, kind="stable")[:MAX_LABELS]
        return TextJudgement(
            shares=shares,
            confidence=ranked(shares, 1)[0][1] * max(scores.known_share, found),
            labels=tuple(
                (self._model.labels[index], float(scores.probabilities[index]))
                for index in order
                if scores.probabilities[index] >= NOTED_FROM
            ),
            notes=(
                *(f"{self._model.labels[label]} is denied" for label in sorted(denied)),
                *(f"words of {emotion}" for emotion, _ in ranked(lexical, 2)),
            ),
        )

    def _denied_labels(self, text: str, labels: Collection[int]) -> set[int]:
        """Returns those of `labels` that a denied word of the text has as well."""
        if set(labels) <= {self._neutral}:
            return set()
        words = dict.fromkeys(denied_words(" ".join(words_of(text))))
        of_words = {label for word in list(words)[:MAX_DENIED] for label in self._model.score(word).labels}
        return {label for label in of_words.intersection(labels) if self._if_denied[label] != self._emotions[label]}
