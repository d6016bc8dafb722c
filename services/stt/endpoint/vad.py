"""Voice activity detection with Silero VAD: the probability that a window of sound is speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from oviya.audio.pcm import Pcm
from oviya.errors import CheckpointError
from services.stt.endpoint.onnx_model import load_onnx
from services.stt.packages import package_folders

WINDOW_SAMPLES = 512
"""The model's input: 32 ms at 16 kHz ..."""
CONTEXT_SAMPLES = 64
"""... preceded by the last 4 ms of the window before."""
STATE_SHAPE = (2, 1, 128)
"""Hidden and cell state of the model's LSTM, one stream, 128 units."""
QUIET_POWER, QUIET_WINDOWS = 0.01, 31
"""Quiet: a second of sound that is 20 dB below the loudest window before it."""
_RATE_HZ = np.array(16_000, np.int64)


def find_model() -> Path:
    """Finds the ONNX file in the silero-vad package without importing the package, which would need torch.

    Raises:
        CheckpointError: the package is not installed.
    """
    for folder in package_folders("silero_vad"):
        path = folder / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    raise CheckpointError("Silero VAD is not installed", hint="pip install --no-deps -r requirements/weights.txt")


class SileroVad:
    """The loaded model.  Any number of streams may share it, in any threads.

    Raises:
        CheckpointError: the file is missing or not a model of this kind.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._session = load_onnx(path or find_model(), "Silero VAD")

    def stream(self) -> VadStream:
        """Returns a new stream."""
        return VadStream(self._session)


class VadStream:
    """One stream through the model, with its recurrent state.

    The state adapts to sound that is not speech: 3 s after 20 s of music, speech is still detected 250 ms late.  The
    state is therefore reset in the quiet that follows, but not during the music, parts of which would then be taken for
    speech.
    """

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._state = np.zeros(STATE_SHAPE, np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._loudest, self._quiet_windows = 0.0, 0

    def probability(self, window: Pcm) -> float:
        """Returns the probability of speech, 0 to 1, in the stream's next window, shape (512,), 16 kHz."""
        self._reset_in_quiet(float(np.mean(np.square(window))))
        sound = np.concatenate((self._context, window))[np.newaxis]
        output, state = self._session.run(None, {"input": sound, "state": self._state, "sr": _RATE_HZ})
        self._state, self._context = np.asarray(state), window[-CONTEXT_SAMPLES:]
        return np.asarray(output).item()

    def _reset_in_quiet(self, power: float) -> None:
        self._loudest = max(self._loudest, power)
        self._quiet_windows = self._quiet_windows + 1 if power < self._loudest * QUIET_POWER else 0
        if self._quiet_windows == QUIET_WINDOWS:
            self._state = np.zeros(STATE_SHAPE, np.float32)
            self._loudest, self._quiet_windows = 0.0, 0
