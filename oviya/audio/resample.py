"""Streaming change of sample rate."""

from __future__ import annotations

import numpy as np
import soxr  # pyright: ignore[reportMissingTypeStubs]

from oviya.audio.pcm import Pcm


class Resampler:
    """Resamples one mono stream chunk by chunk; any chunking gives the same signal.

    Args:
        source_hz: rate of what goes in.
        target_hz: rate of what comes out.
    """

    def __init__(self, source_hz: int, target_hz: int) -> None:
        same = source_hz == target_hz
        self._stream = None if same else soxr.ResampleStream(source_hz, target_hz, 1, dtype="float32", quality="HQ")

    def push(self, samples: Pcm) -> Pcm:
        """Takes samples, shape (samples,); returns what is complete, possibly nothing (the filter looks ahead)."""
        if self._stream is None or not len(samples):
            return samples
        return np.asarray(self._stream.resample_chunk(samples), np.float32)

    def flush(self) -> Pcm:
        """Ends the stream; returns the rest.  The object starts anew after it."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        rest = np.asarray(self._stream.resample_chunk(np.zeros(0, np.float32), last=True), np.float32)
        self._stream.clear()
        return rest
