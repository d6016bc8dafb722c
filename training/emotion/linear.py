"""Logistic regression over the words, phrases and letters of a text, one for each label.

Each feature is first multiplied by its log-count ratio, the logarithm of how much more often it occurs in texts of the
label than in others (Wang and Manning 2012, NB-SVM).  The factors are folded into the weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingImports]

from services.emotion.words.text_features import key_of, letters_of, phrases_of, words_of
from training.emotion.data import FOLDS

MIN_PHRASES, MIN_LETTERS = 2, 3
"""Least number of texts with a phrase, or a letter sequence, that becomes a feature."""
STRENGTH = 0.25
"""liblinear's C."""
SMOOTHING = 0.05
"""TF-IDF that is added to every feature in texts of the label, and 20 times that in the others, of which there are some
20 times as many."""
BALANCE = 0.5
"""Weight of a label's texts: (others / its own) to this power."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Vocabulary:
    """The features by key, sorted, shape (features,), and the inverse document frequency of each."""

    keys: NDArray[np.uint32]
    idf: Floats


def blocks_of(text: str) -> tuple[Counter[int], Counter[int]]:
    """Counts each phrase, and each letter sequence, of the text, by key."""
    words = words_of(text)
    return Counter(map(key_of, phrases_of(words))), Counter(map(key_of, letters_of(words)))


def learn_vocabulary(blocks: Sequence[tuple[Counter[int], Counter[int]]]) -> Vocabulary:
    """Returns the features that occur in enough texts."""
    counts: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
    for pair in blocks:
        for count, block in zip(counts, pair, strict=True):
            count.update(block.keys())
    kept = {
        key: count
        for counter, least in zip(counts, (MIN_PHRASES, MIN_LETTERS), strict=True)
        for key, count in counter.items()
        if count >= least
    }
    keys = np.array(sorted(kept), np.uint32)
    texts = np.array([kept[int(key)] for key in keys])
    return Vocabulary(keys, (np.log((1 + len(blocks)) / (1 + texts)) + 1).astype(np.float32))


def vectorize(blocks: Sequence[tuple[Counter[int], Counter[int]]], vocabulary: Vocabulary) -> sp.csr_matrix:
    """Returns TF-IDF, shape (texts, features), with each block of a text normalized to length 1."""
    column = {int(key): index for index, key in enumerate(vocabulary.keys)}
    columns: list[int] = []
    values: list[Floats] = []
    starts = [0]
    for pair in blocks:
        for block in pair:
            at = [column[key] for key in block if key in column]
            counts = np.array([block[key] for key in block if key in column], np.float32)
            weights = (1 + np.log(counts)) * vocabulary.idf[at] if at else np.zeros(0, np.float32)
            columns += at
            values.append((weights / max(float(np.linalg.norm(weights)), 1e-9)).astype(np.float32))
        starts.append(len(columns))
    return sp.csr_matrix((np.concatenate(values), columns, starts), shape=(len(blocks), len(vocabulary.keys)))


def fit_label(features: sp.csr_matrix, label: NDArray[np.int8]) -> tuple[Floats, float]:
    """Fits one label; returns weights, shape (features,), and bias."""
    weight = float(((1 - label).sum() / label.sum()) ** BALANCE)
    model = LogisticRegression(
        C=STRENGTH, solver="liblinear", dual=True, class_weight={0: 1.0, 1: weight}, tol=0.05, random_state=0
    )
    ratio = log_ratio(features, label)
    model.fit(features @ sp.diags_array(ratio), label)
    weights, bias = np.asarray(model.coef_), np.asarray(model.intercept_)
    return (ratio * weights[0]).astype(np.float32), float(bias[0])


def log_ratio(features: sp.csr_matrix, label: NDArray[np.int8]) -> Floats:
    """Returns the log-count ratio of each feature, shape (features,)."""
    own = np.asarray(features[label == 1].sum(axis=0)).ravel() + SMOOTHING
    other = np.asarray(features[label == 0].sum(axis=0)).ravel() + 20 * SMOOTHING
    return np.log((own / own.sum()) / (other / other.sum())).astype(np.float32)


def held_out_scores(features: sp.csr_matrix, labels: NDArray[np.int8], folds: NDArray[np.int64]) -> Floats:
    """Returns scores of each text by models that were not trained on it, shape (texts, labels)."""
    scores = np.zeros(labels.shape, np.float32)
    for fold in range(FOLDS):
        training, held_out = features[folds != fold], folds == fold
        for label in range(labels.shape[1]):
            weights, bias = fit_label(training, labels[folds != fold, label])
            scores[held_out, label] = features[held_out] @ weights + bias
    return scores


def fit_all(features: sp.csr_matrix, labels: NDArray[np.int8]) -> tuple[Floats, Floats]:
    """Fits all labels on all texts; returns weights, shape (features, labels), and biases, shape (labels,)."""
    fits = [fit_label(features, labels[:, label]) for label in range(labels.shape[1])]
    return np.stack([weights for weights, _ in fits], axis=1), np.array([bias for _, bias in fits], np.float32)
