"""Fades: sound that begins or ends without a click."""

from __future__ import annotations

import numpy as np

from oviya.audio.pcm import Pcm


def fade_in(samples: Pcm, length: int) -> Pcm:
    """Returns `samples`, shape (samples,), the first `length` of which rise from silence."""
    length = min(length, len(samples))
    return np.concatenate([samples[:length] * np.linspace(0, 1, length, dtype=np.float32), samples[length:]])


def fade_out(samples: Pcm, length: int) -> Pcm:
    """Returns `samples`, shape (samples,), the last `length` of which fall to silence."""
    return fade_in(samples[::-1], length)[::-1]
