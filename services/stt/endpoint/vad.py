"""Silero VAD: how likely a stretch of sound is speech."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from oviya.audio.pcm import Pcm
from oviya.errors import CheckpointError

WINDOW_SAMPLES = 512
"""The model hears 32 ms at a time at 16 kHz ..."""
CONTEXT_SAMPLES = 64
"""... with the last 4 ms of the window before it."""
STATE_SHAPE = (2, 1, 128)
"""Hidden and cell state of the model's LSTM, one stream, 128 units."""
QUIET_POWER, QUIET_WINDOWS = 0.01, 31
"""Quiet is a second of sound that is 20 dB below the loudest before it."""
_RATE_HZ = np.array(16_000, np.int64)


def find_model() -> Path:
    """Finds the ONNX file in the silero-vad package without importing it, since importing it needs torch.

    Raises:
        CheckpointError: the package is not installed.
    """
    spec = find_spec("silero_vad")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    raise CheckpointError(
        "Silero VAD is missing", hint="pip install --no-deps silero-vad (its ONNX file is all that is used)"
    )


class SileroVad:
    """The loaded model; any number of streams share it, from any threads.

    Raises:
        CheckpointError: the file is no model of this kind.
    """

    def __init__(self, path: Path | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # 0.2 ms of work: more threads only wait
        options.log_severity_level = 3  # errors; the file makes harmless warnings about unused initializers
        path = path or find_model()
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own types, none of them public
            raise CheckpointError(f"cannot load Silero VAD from {path}: {error}") from error

    def stream(self) -> VadStream:
        """Begins to listen to a new stream."""
        return VadStream(self._session)


class VadStream:
    """One stream through the model, with its state.

    The state remembers what is no speech for long: 20 s of music, and speech is found 250 ms late even 3 s after them.
    So it is forgotten in the quiet that follows; not in the music itself, parts of which would pass for speech then.
    """

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._state = np.zeros(STATE_SHAPE, np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._loudest, self._quiet_windows = 0.0, 0

    def probability(self, window: Pcm) -> float:
        """Returns the probability of speech, 0 to 1, in the stream's next window, shape (512,), 16 kHz."""
        self._forget_in_quiet(float(np.mean(np.square(window))))
        sound = np.concatenate((self._context, window))[np.newaxis]
        output, state = self._session.run(None, {"input": sound, "state": self._state, "sr": _RATE_HZ})
        self._state, self._context = np.asarray(state), window[-CONTEXT_SAMPLES:]
        return np.asarray(output).item()

    def _forget_in_quiet(self, power: float) -> None:
        self._loudest = max(self._loudest, power)
        self._quiet_windows = self._quiet_windows + 1 if power < self._loudest * QUIET_POWER else 0
        if self._quiet_windows == QUIET_WINDOWS:
            self._state = np.zeros(STATE_SHAPE, np.float32)
            self._loudest, self._quiet_windows = 0.0, 0
