"""Smart Turn: the probability that a turn is over, from how its sound ends (intonation, pace, fillers).

The model is Smart Turn v3.2 (Daily, BSD-2-Clause): Whisper tiny's encoder with a classifier, 8 MB of int8 weights,
trained on 23 languages.  It is given the sound of a turn once, when the speaker pauses; a call takes some 25 ms of one
core.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.errors import CheckpointError
from services.stt.endpoint.onnx_model import load_onnx
from services.stt.log_mel import log_mel
from services.stt.packages import package_folders
from services.stt.recognizer import SAMPLE_RATE_HZ

WINDOW_SAMPLES = 8 * SAMPLE_RATE_HZ
"""The model's input: the last 8 s of the turn, or the turn after silence."""
BANDS = 80
MIN_VARIANCE = 1e-7
"""Added to the variance of the sound before it is scaled to 1."""
LANGUAGES = frozenset(
    "ar bn da de en es fi fr hi id it ja ko mr nl no pl pt ru tr uk vi zh".split()  # noqa: SIM905
)
"""Whisper's codes of the languages that the model was trained on, according to its model card."""
_FILE = Path("audio", "turn", "smart_turn", "data", "smart-turn-v3.2-cpu.onnx")


def find_model() -> Path:
    """Finds the ONNX file in the pipecat-ai package without importing the package.

    Raises:
        CheckpointError: the package is not installed, or a version that has another model.
    """
    for folder in package_folders("pipecat"):
        path = folder / _FILE
        if path.is_file():
            return path
    raise CheckpointError(
        "Smart Turn v3.2 is not installed",
        hint="pip install --no-deps -r requirements/weights.txt",
    )


class SmartTurn:
    """The loaded model.  It keeps no state: any number of sessions may share it, in any threads.

    Raises:
        CheckpointError: the file is missing or not a model of this kind.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._session = load_onnx(path or find_model(), "Smart Turn")

    def probability(self, sound: Pcm) -> float:
        """Returns the probability, 0 to 1, that the speaker has finished.

        Args:
            sound: the turn from its start, with some 200 ms of the silence after it, as in the model's training; shape
                (samples,), 16 kHz, not empty.
        """
        (output,) = self._session.run(None, {"input_features": features(sound)[None]})
        return np.asarray(output).item()


def features(sound: Pcm) -> np.ndarray:
    """Returns the model's input: the log-mel spectrogram of the sound at unit variance, shape (80, 800)."""
    window = np.zeros(WINDOW_SAMPLES, np.float32)
    last = sound[-WINDOW_SAMPLES:]
    window[WINDOW_SAMPLES - len(last) :] = last
    window = (window - window.mean()) / np.sqrt(window.var() + np.float32(MIN_VARIANCE))
    return log_mel(window, WINDOW_SAMPLES, BANDS)
