"""Which emotions a text shows.

The classifier knows GoEmotions' 28 labels; `data/labels.tsv` says which of the 49 emotions each is.  For feelings that
have no label (tiredness, boredom, loneliness, envy ...) the lexicon knows the words.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from oviya.emotions.tables import NEUTRAL, read_tsv
from services.emotion.affect import Shares, mixed, ranked
from services.emotion.catalogue import DATA
from services.emotion.words.lexicon_detector import LexiconDetector
from services.emotion.words.negation import denied_words
from services.emotion.words.text_features import MAX_CHARS, words_of
from services.emotion.words.text_model import TextModel

UNSURE = 0.25
"""Factor on a label below its threshold: taken together, the unlikely ones would outweigh the likely one."""
LEXICON_TRUST = 0.8
"""Largest share of what the lexicon finds."""
MAX_LABELS = 5
NOTED_FROM = 0.05
DENIED_WORTH = 0.7
"""What is denied says less than its opposite does: "not happy" is milder than "sad"."""
MAX_DENIED = 12
"""Denied words that are looked at; each costs half a millisecond."""


@dataclass(frozen=True, slots=True)
class TextJudgement:
    """What a text shows.

    Attributes:
        shares: of the emotions; they add up to 1.
        confidence: 0 (a guess: no known word) to 1.
        labels: (label, probability), best first.
        notes: what else was found, for people.
    """

    shares: Shares
    confidence: float
    labels: tuple[tuple[str, float], ...]
    notes: tuple[str, ...]


class TextDetector(Protocol):
    """Judges a text.  Takes a whole utterance; must be quick (some 5 ms) and safe to call from several threads."""

    def judge(self, text: str) -> TextJudgement: ...


NOTHING = TextJudgement({NEUTRAL: 1.0}, 0.0, (), ())


class ClassifierDetector:
    """Judges by the classifier, and by the lexicon where that knows finer words.

    Raises:
        ValueError: `labels.tsv` lacks a label of the model, or names an emotion that is none.
    """

    def __init__(self, model: TextModel, lexicon: LexiconDetector, emotions: set[str], folder: Path = DATA) -> None:
        table = {
            row["label"]: (row["emotion"], row["denied"] or row["emotion"]) for row in read_tsv(folder / "labels.tsv")
        }
        if strange := sorted(set(model.labels) ^ set(table)):
            raise ValueError(f"labels.tsv: labels that are missing or not the model's: {strange}")
        if strange := sorted({name for names in table.values() for name in names} - emotions):
            raise ValueError(f"labels.tsv: {strange} are no emotions")
        self._model = model
        self._lexicon = lexicon
        self._emotions = [table[label][0] for label in model.labels]
        self._neutral = model.labels.index(NEUTRAL)
        self._denied = [table[label][1] for label in model.labels]

    def judge(self, text: str) -> TextJudgement:
        """Judges a text of any length and script."""
        text = text[-MAX_CHARS:]
        scores = self._model.score(text)
        finer = self._lexicon.judge(text)
        if not scores.known_share and not finer:
            return NOTHING
        weights = scores.probabilities.astype(np.float64) * UNSURE
        chosen = list(scores.labels)
        weights[chosen] /= UNSURE
        weights *= scores.known_share
        total = float(weights.sum())
        shares: Shares = {}
        turned: set[int] = set()
        if total > 0:
            turned = self._turned(text, scores.labels)
            for label, weight in enumerate(weights / total):
                is_denied = label in turned
                emotion = self._denied[label] if is_denied else self._emotions[label]
                worth = float(weight) * (DENIED_WORTH if is_denied else 1.0)
                shares[emotion] = shares.get(emotion, 0.0) + worth
                shares[NEUTRAL] = shares.get(NEUTRAL, 0.0) + float(weight) - worth
        else:
            shares = {NEUTRAL: 1.0}
        found = sum(finer.values())
        if found:
            share = LEXICON_TRUST * found
            shares = mixed(shares, {emotion: worth / found for emotion, worth in finer.items()}, share)
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
                *(f"{self._model.labels[label]} is denied" for label in sorted(turned)),
                *(f"words of {emotion}" for emotion, _ in ranked(finer, 2)),
            ),
        )

    def _turned(self, text: str, labels: Collection[int]) -> set[int]:
        """Labels of the text that a word of it bears which the speaker denies."""
        if set(labels) <= {self._neutral}:
            return set()
        denied = dict.fromkeys(denied_words(" ".join(words_of(text))))
        borne = {label for word in list(denied)[:MAX_DENIED] for label in self._model.score(word).labels}
        return {label for label in borne.intersection(labels) if self._denied[label] != self._emotions[label]}
