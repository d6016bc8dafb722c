"""Fits the weights of services/stt/endpoint/completeness.py: `python -m training.turn_end [--pauses FILE]`.

The pauses are those of the sets `fitted`, `development` and `human` of benchmarks/stt_pauses.py.  Each set counts with
the weight in `SETS`, however many pauses it has, and its ends count as much as the pauses within its sentences.  Prints
the weights for every combination of known evidence, each with a bias for which the score 0 is exceeded by `CUT_OFF` of
the pauses, and the share of each set's pauses and ends above 0.
"""

from __future__ import annotations

import argparse
import pickle
from dataclasses import astuple
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.stt_pauses import Observer, Pause, utterances
from services.stt.decode.whisper import WhisperRecognizer
from services.stt.endpoint.completeness import evidence, goes_on
from services.stt.settings import SttSettings

SETS = {"fitted": 0.5, "development": 1.0, "human": 2.0}
"""Human speech counts most: synthetic voices sound alike at ends and in pauses, people do not."""
CUT_OFF = 0.05
L2 = 1.0
"""Weight of the penalty on squared weights, against a hundred ends and a hundred pauses in a set."""
STEPS = 40
CERTAIN = -100.0


def collect() -> dict[str, list[Pause]]:
    """Decodes all sets; takes minutes."""
    recognizer = WhisperRecognizer(SttSettings())
    recognizer.load()
    observer = Observer(recognizer)
    return {name: [p for u in utterances(name, recognizer) for p in observer.pauses(u)] for name in SETS}


def fit(
    features: NDArray[np.float64], is_end: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the coefficients of a logistic regression, the bias first, by Newton's method."""
    inputs = np.column_stack((np.ones(len(features)), features))
    penalty = np.array([1e-9, *[L2] * features.shape[1]])
    found = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        probability = 1 / (1 + np.exp(-np.clip(inputs @ found, -30, 30)))
        gradient = inputs.T @ (weights * (probability - is_end)) + penalty * found
        curvature = (inputs.T * (weights * probability * (1 - probability))) @ inputs + np.diag(penalty)
        found -= np.linalg.solve(curvature, gradient)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pauses", type=Path, help="where the decoded pauses are kept, to fit again")
    path = arguments.parse_args().pauses
    if path and path.exists():
        pauses: dict[str, list[Pause]] = pickle.loads(path.read_bytes())
    else:
        pauses = collect()
        if path:
            path.write_bytes(pickle.dumps(pauses))
    names = np.array([name for name, found in pauses.items() for _ in found])
    every = [pause for found in pauses.values() for pause in found]
    is_end = np.array([pause.is_end for pause in every])
    certain = np.array([bool(pause.words) and goes_on(pause.words) for pause in every])
    features = np.array([astuple(evidence(pause.words, pause.fall, pause.turn_end, "en")) for pause in every], float)
    weights = np.zeros(len(every))
    for name, share in SETS.items():
        for kind in (False, True):
            chosen = (names == name) & (is_end == kind)
            weights[chosen] = 100 * share / max(1, chosen.sum())
    for text in (True, False):
        for sound in (True, False):
            used = features * [text, 1, 1, sound, 1]
            found = fit(used[~certain], is_end[~certain].astype(float), weights[~certain])
            scores = np.where(certain, CERTAIN, found[0] + used @ found[1:])
            shift = np.quantile(scores[~is_end], 1 - CUT_OFF)
            print(
                f"({text}, {sound}): Weights({', '.join(f'{value:.2f}' for value in (found[0] - shift, *found[1:]))}),"
            )
            for name in SETS:
                above = [np.mean(scores[(names == name) & (is_end == kind)] > shift) for kind in (False, True)]
                print(f"    {name}: {above[0]:.1%} of the pauses and {above[1]:.0%} of the ends are above 0")


if __name__ == "__main__":
    main()
