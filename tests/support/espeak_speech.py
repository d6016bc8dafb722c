"""Synthetic speech in other languages than English, made by espeak-ng, which comes with the gateway's voice."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from oviya.audio.resample import Resampler
from services.gateway.voice.espeak import SAMPLE_RATE_HZ, Delivery, Samples16, synthesize


@cache
def speak_in_language(text: str, voice: str, rate_hz: int = 16_000) -> NDArray[np.float32]:
    """Speaks `text` in a voice of espeak-ng, e.g. "de"; returns samples, shape (samples,).  Do not write into them."""
    pieces: list[Samples16] = []

    def keep(samples: Samples16) -> bool:
        pieces.append(samples)
        return True

    synthesize(text, Delivery(voice), keep)
    resampler = Resampler(SAMPLE_RATE_HZ, rate_hz)
    spoken = np.concatenate(pieces).astype(np.float32) / np.float32(32768)
    sound = np.concatenate((resampler.push(spoken), resampler.flush()))
    sound.setflags(write=False)
    return sound
