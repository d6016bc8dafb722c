"""Decides whether one person speaks in a clip, or several.

The parts of a clip (`voice_features`) are split into two groups as well as possible, and the split is judged by a
likelihood ratio of the two-covariance model (Sizov, Lee and Kinnunen, "Unifying probabilistic linear discriminant
analysis variants in biometric authentication", 2014): how much likelier is the distance of the groups' means if they
are of two speakers than if they are of one?  `voices.json` holds how much parts of one speaker differ, which depends on
their words, and how much speakers do; `training/own_voice.py` measures both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm
from services.gateway.own_voice.clip import refused
from services.gateway.own_voice.voice_features import Floats, VoicePart, voice_parts

MODEL_FILE = Path(__file__).with_name("voices.json")
THRESHOLD = 1.6
"""Log-likelihood ratio for each second of speech from which on there are several speakers: in longer speech the best of
more splits is judged, and one speaker's effort and mood vary more.  `benchmarks.own_voice` measures both errors."""
MIN_GROUP = 0.6
"""Least speech of a group, in seconds."""
STARTS, ROUNDS = 4, 10
"""Best initial splits that are refined, and most rounds of it."""


@dataclass(frozen=True)
class SpeakerModel:
    """The variation of `VoicePart.features`, in a space where that of one speaker's parts is the identity.

    Attributes:
        transform: into that space, shape (features, features).
        between: variance of the speakers' means in each dimension, shape (features,).
    """

    transform: Floats
    between: Floats

    def ratio(self, features: Floats, weights: Floats, first: NDArray[np.bool_]) -> float:
        """Returns the log-likelihood ratio of two speakers, `first` and the others, against one.

        Args:
            features: transformed, shape (parts, features).
            weights: shape (parts,).
            first: the parts of the first group, shape (parts,).
        """
        one, other = weights * first, weights * ~first
        if min(one.sum(), other.sum()) < MIN_GROUP:
            return -np.inf
        difference = one @ features / one.sum() - other @ features / other.sum()
        same = 1 / one.sum() + 1 / other.sum()
        different = same + 2 * self.between
        return float(0.5 * np.sum(difference**2 * (1 / same - 1 / different) - np.log(different / same)))


@cache
def load_model() -> SpeakerModel:
    """Reads the model that comes with the gateway."""
    content = json.loads(MODEL_FILE.read_text("utf-8"))
    return SpeakerModel(np.array(content["transform"]), np.array(content["between"]))


def check_one_speaker(samples: Pcm) -> None:
    """Checks that one person speaks.

    Args:
        samples: shape (samples,), at 16 kHz.

    Raises:
        InvalidInput: several do.
    """
    parts = voice_parts(samples)
    if speaker_evidence(parts, load_model()) > 0:
        raise refused(
            "several_speakers",
            "several speakers",
            "must hold one person's speech",
            hint="cut it to the voice to speak with",
        )


def speaker_evidence(parts: Sequence[VoicePart], model: SpeakerModel) -> float:
    """Returns by how much the log-likelihood ratio of two speakers against one, for the best split of the parts, is
    above the threshold."""
    if len(parts) < 2:
        return -np.inf
    features = np.array([part.features for part in parts]) @ model.transform.T
    weights = np.array([part.weight for part in parts])
    starts = _initial_splits(features, weights, model)
    ratios = [model.ratio(features, weights, split) for split in starts]
    best = sorted(range(len(starts)), key=lambda at: ratios[at])[-STARTS:]
    ratio = max(_refined(features, weights, starts[at], ratios[at], model) for at in best)
    return ratio - THRESHOLD * float(weights.sum())


def _initial_splits(features: Floats, weights: Floats, model: SpeakerModel) -> list[NDArray[np.bool_]]:
    """Returns splits in time, and along the direction in which the parts vary most."""
    count = len(features)
    centred = features - weights @ features / weights.sum()
    scaled = centred * np.sqrt(model.between / (1 + model.between))
    direction = np.linalg.svd(scaled * np.sqrt(weights)[:, None], full_matrices=False)[2][0]
    along = scaled @ direction
    return [np.arange(count) < at for at in range(1, count)] + [along > limit for limit in np.sort(along)[:-1]]


def _refined(features: Floats, weights: Floats, split: NDArray[np.bool_], ratio: float, model: SpeakerModel) -> float:
    """Moves single parts to the other group while that makes the ratio larger; returns it."""
    split = split.copy()
    for _ in range(ROUNDS):
        before = ratio
        for at in range(len(split)):
            split[at] = ~split[at]
            moved = model.ratio(features, weights, split)
            if moved > ratio:
                ratio = moved
            else:
                split[at] = ~split[at]
        if ratio == before:
            break
    return ratio
