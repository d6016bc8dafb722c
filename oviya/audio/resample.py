"""Streaming resampler."""

from __future__ import annotations

import numpy as np
import soxr  # pyright: ignore[reportMissingTypeStubs]

from oviya.audio.pcm import Pcm


class Resampler:
    """Resamples a mono stream chunk by chunk.  The result does not depend on the size of the chunks.

    Args:
        source_hz: rate of the input.
        target_hz: rate of the output.
    """

    def __init__(self, source_hz: int, target_hz: int) -> None:
        same = source_hz == target_hz
        self._stream = None if same else soxr.ResampleStream(source_hz, target_hz, 1, dtype="float32", quality="HQ")

    def push(self, samples: Pcm) -> Pcm:
        """Adds samples, shape (samples,); returns the available output, possibly empty because the filter has a
        delay."""
        if self._stream is None or not len(samples):
            return samples
        return np.asarray(self._stream.resample_chunk(samples), np.float32)

    def flush(self) -> Pcm:
        """Ends the stream and returns the rest of the output.  The object can then be used for another stream."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        rest = np.asarray(self._stream.resample_chunk(np.zeros(0, np.float32), last=True), np.float32)
        self._stream.clear()
        return rest
