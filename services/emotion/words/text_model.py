"""The text classifier: predicts GoEmotions' 28 labels, in numpy.

It combines two models: logistic regression over TF-IDF of words, phrases and letters, and a few small recurrent
networks (GRU) over words.  A logistic function turns their weighted sum into a probability.  Weights are 8-bit integers
with a scale, or 16-bit floats.  `training/emotion` trains them.
"""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oviya.errors import CheckpointError
from oviya.model.checkpoint import read_config
from services.emotion.words.text_features import key_of, letters_of, phrases_of, words_of

WEIGHTS_FILE = "weights.npz"

MAX_WORDS = 48
"""Words that the networks read, from the end; few sentences are longer."""
UNKNOWN = 1
"""Row of unknown words; row 0 is padding."""
PIECES = 8192
"""Vectors of letter sequences, which share them by hash."""
PIECE_LENGTHS = (3, 4, 5)
MAX_PIECES = 24

Floats = NDArray[np.float32]


def pieces_of(word: str) -> list[int]:
    """Returns the rows, below `PIECES`, of the word's letter sequences."""
    return [key_of(piece) % PIECES for piece in letters_of([word], PIECE_LENGTHS)][:MAX_PIECES]


@dataclass(frozen=True, slots=True)
class LabelScores:
    """The classifier's result for a text.

    Attributes:
        probabilities: of each label, shape (labels,).
        labels: indices of the labels whose probability is above their threshold.
        known_share: share of the words that occurred in training, 0 to 1; 0 for a text without words.
    """

    probabilities: Floats
    labels: tuple[int, ...]
    known_share: float


class TextModel:
    """The classifier.

    Args:
        labels: names of the labels.
        arrays: the weights, as in `weights.npz`; `training/emotion/pack.py` describes them.
    """

    def __init__(self, labels: Sequence[str], arrays: dict[str, NDArray[Any]]) -> None:
        self.labels = tuple(labels)
        self._linear = _Linear(arrays)
        self._networks = _Networks(arrays)
        self._share = float(arrays["mix_share"])
        self._slope = arrays["calibration_slope"].astype(np.float32)
        self._offset = arrays["calibration_offset"].astype(np.float32)
        self._thresholds = arrays["thresholds"].astype(np.float32)

    @classmethod
    def load(cls, folder: Path) -> TextModel:
        """Loads the model in `folder`.

        Raises:
            CheckpointError: a file is missing or damaged, or a shape does not match the config.
        """
        config = read_config(folder)
        path = folder / WEIGHTS_FILE
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            labels = [str(label) for label in config["labels"]]
            if arrays["thresholds"].shape != (len(labels),) or arrays["linear_weights"].shape[1:] != (len(labels),):
                raise CheckpointError(f"{path}: the weights do not match the {len(labels)} labels of config.json")
            return cls(labels, arrays)
        except FileNotFoundError:
            raise CheckpointError(f"{path}: no such file") from None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise CheckpointError(f"{path}: truncated or damaged weights: {error}") from None

    def score(self, text: str) -> LabelScores:
        """Scores a text of any length and script.  It is deterministic."""
        words = words_of(text)
        probabilities = self.probabilities(self.raw(words))
        above = np.flatnonzero(probabilities >= self._thresholds)
        return LabelScores(probabilities, tuple(above.tolist()), self._networks.known_share(words))

    def raw(self, words: Sequence[str]) -> Floats:
        """Returns the weighted sum of both models' scores, shape (labels,)."""
        linear, networks = self.parts(words)
        return ((1 - self._share) * linear + self._share * networks).astype(np.float32)

    def parts(self, words: Sequence[str]) -> tuple[Floats, Floats]:
        """Returns the scores of both models, shape (labels,) each."""
        return self._linear.score(words), self._networks.score(words[-MAX_WORDS:])

    def probabilities(self, raw: Floats) -> Floats:
        """Returns the probabilities of the scores from `raw`, shape (labels,)."""
        return (1 / (1 + np.exp(-(self._slope * raw + self._offset)))).astype(np.float32)


class _Linear:
    """Logistic regression over TF-IDF; the vectors of phrases and of letters are normalized separately."""

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._keys = arrays["linear_keys"]
        self._idf = arrays["linear_idf"].astype(np.float32)
        self._weights = arrays["linear_weights"]  # int8, shape (features, labels)
        self._scale = arrays["linear_scale"].astype(np.float32)
        self._bias = arrays["linear_bias"].astype(np.float32)

    def score(self, words: Sequence[str]) -> Floats:
        total = self._bias.copy()
        for features in (phrases_of(words), letters_of(words)):
            total += self._block(features)
        return total

    def _block(self, features: Iterable[str]) -> Floats:
        counts = Counter(map(key_of, features))
        keys = np.fromiter(counts.keys(), np.uint32, len(counts))
        at, known = _find(self._keys, keys)
        if not known.any():
            return np.zeros(len(self._scale), np.float32)
        at = at[known]
        times = np.fromiter(counts.values(), np.float32, len(counts))[known]
        weights = (1 + np.log(times)) * self._idf[at]
        weights /= np.linalg.norm(weights)
        return (weights @ self._weights[at].astype(np.float32)) * self._scale


class _Networks:
    """The recurrent networks, run together: N networks, word width E, H outputs in each direction.

    The gates of a GRU are in torch's order: reset, update, new.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._keys = arrays["word_keys"]
        self._words = arrays["word_vectors"]  # int8, (N, rows, E)
        self._word_scale = arrays["word_scale"].astype(np.float32)  # (N, rows, 1)
        self._pieces = arrays["piece_vectors"]  # int8, (N, PIECES, E)
        self._piece_scale = arrays["piece_scale"].astype(np.float32)
        # Network n has index n forwards and N + n backwards.
        self._input = arrays["gru_input"].astype(np.float32)  # (2N, E, 3H)
        self._input_bias = arrays["gru_input_bias"].astype(np.float32)[:, None]  # (2N, 1, 3H)
        self._state = arrays["gru_state"].astype(np.float32)  # (2N, H, 3H)
        self._state_bias = arrays["gru_state_bias"].astype(np.float32)[:, None]
        self._head = arrays["head"].astype(np.float32)  # (N, 4H + E, labels)
        self._head_bias = arrays["head_bias"].astype(np.float32)  # (N, labels)

    def known_share(self, words: Sequence[str]) -> float:
        """Returns the share of known words; signs count if there are no words."""
        spoken = [word for word in words if any(map(str.isalnum, word))] or list(words)
        if not spoken:
            return 0.0
        _, known = _find(self._keys, np.array([key_of(word) for word in spoken], np.uint32))
        return float(known.mean())

    def score(self, words: Sequence[str]) -> Floats:
        """Returns the mean score of the networks, shape (labels,)."""
        vectors = self._vectors(words) if words else np.zeros((len(self._head), 1, self._input.shape[1]), np.float32)
        outputs = self._read(vectors)
        summary = np.concatenate([outputs.max(axis=1), outputs.mean(axis=1), vectors.mean(axis=1)], axis=1)
        scores = (summary[:, None] @ self._head)[:, 0] + self._head_bias
        return scores.mean(axis=0)

    def _vectors(self, words: Sequence[str]) -> Floats:
        """Returns the vectors of the words, shape (N, T, E)."""
        at, known = _find(self._keys, np.array([key_of(word) for word in words], np.uint32))
        rows = np.where(known, at + UNKNOWN + 1, UNKNOWN)
        vectors = self._words[:, rows].astype(np.float32) * self._word_scale[:, rows]
        numbers = [pieces_of(word) for word in words]
        flat = np.concatenate(numbers)
        values = self._pieces[:, flat].astype(np.float32) * self._piece_scale[:, flat]
        counts = np.array([len(some) for some in numbers])
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        pieces = np.add.reduceat(values, starts, axis=1) / counts[:, None]
        return (vectors + pieces).astype(np.float32)

    def _read(self, vectors: Floats) -> Floats:
        """Returns the outputs of the GRUs, shape (N, T, 2H): forwards, then backwards."""
        both = np.concatenate([vectors, vectors[:, ::-1]])  # (2N, T, E)
        inputs = both @ self._input + self._input_bias
        width = self._state.shape[1]
        state = np.zeros((len(both), 1, width), np.float32)
        outputs = np.empty((len(both), both.shape[1], width), np.float32)
        for step in range(both.shape[1]):
            given = inputs[:, step, None]
            recurrent = state @ self._state + self._state_bias
            gates = 1 / (1 + np.exp(-(given[..., : 2 * width] + recurrent[..., : 2 * width])))
            reset, update = gates[..., :width], gates[..., width:]
            new = np.tanh(given[..., 2 * width :] + reset * recurrent[..., 2 * width :])
            state = new + update * (state - new)
            outputs[:, step, None] = state
        forwards, backwards = np.split(outputs, 2)
        return np.concatenate([forwards, backwards[:, ::-1]], axis=2)


def _find(sorted_keys: NDArray[np.uint32], keys: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Returns the index of each key in `sorted_keys`, and whether it is there."""
    at = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return at, sorted_keys[at] == keys
