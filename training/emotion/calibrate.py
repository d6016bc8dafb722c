"""Chooses the mix of the two models, the calibration of their scores and the threshold of each label.

All of it is chosen on held-out scores of the training texts; `dev.tsv` is not used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingImports]

SHARES = tuple(round(0.05 * step, 2) for step in range(21))
SMOOTHED_BELOW = 300
"""For labels with fewer texts, the noisy F1 curve is smoothed over `SMOOTHING` thresholds."""
SMOOTHING = 9

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Calibration:
    """`share` of the networks in the mix; the rest has shape (labels,)."""

    share: float
    slope: Floats
    offset: Floats
    thresholds: Floats
    unseen_macro_f1: float


def f1_by_label(chosen: NDArray[np.bool_], labels: NDArray[np.int8]) -> Floats:
    """Returns F1 of each label, shape (labels,)."""
    right = (chosen & (labels == 1)).sum(axis=0)
    return 2 * right / np.maximum(chosen.sum(axis=0) + labels.sum(axis=0), 1)


def best_threshold(scores: Floats, label: NDArray[np.int8]) -> float:
    """Returns the threshold with the best F1."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(label[order])
    f1 = 2 * right / (np.arange(1, len(label) + 1) + label.sum())
    if label.sum() < SMOOTHED_BELOW:
        f1 = np.convolve(f1, np.full(SMOOTHING, 1 / SMOOTHING), "same")
    best = min(int(f1.argmax()), len(label) - 2)
    return float(scores[order[best]] + scores[order[best + 1]]) / 2


def calibrate(linear: Floats, networks: Floats, labels: NDArray[np.int8]) -> Calibration:
    """Calibrates on held-out scores, shape (texts, labels) each."""

    def cut(share: float) -> tuple[Floats, Floats, float]:
        mixed = (1 - share) * linear + share * networks
        thresholds = np.array([best_threshold(mixed[:, k], labels[:, k]) for k in range(labels.shape[1])])
        return mixed, thresholds, float(f1_by_label(mixed >= thresholds, labels).mean())

    share = max(SHARES, key=lambda candidate: cut(candidate)[2])
    mixed, thresholds, macro_f1 = cut(share)
    fits = [LogisticRegression(C=1e6).fit(mixed[:, k, None], labels[:, k]) for k in range(labels.shape[1])]
    slope = np.array([fit.coef_[0, 0] for fit in fits])
    offset = np.array([fit.intercept_[0] for fit in fits])
    return Calibration(share, slope, offset, 1 / (1 + np.exp(-(slope * thresholds + offset))), macro_f1)
