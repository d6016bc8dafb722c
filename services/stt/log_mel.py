"""The log-mel spectrogram that Whisper's encoder, and models that were made from it, read.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), section 2.2: frames of 25 ms every
10 ms, mel bands between 0 Hz and 8 kHz as Slaney's Auditory Toolbox has them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm
from services.stt.recognizer import SAMPLE_RATE_HZ

FRAME_SAMPLES, HOP_SAMPLES = 400, 160
BREAK_HZ, BREAK_MEL = 1000.0, 15.0
"""Slaney's mel scale is linear up to here, with 15 mel, and logarithmic above: 27 mel for a factor of 6.4."""
FLOOR = 1e-10
DYNAMIC_RANGE = 8.0
"""Bels below the loudest value at which the spectrogram is cut off: 80 dB."""


def log_mel(sound: Pcm, samples: int, bands: int) -> NDArray[np.float32]:
    """Returns the spectrogram of `sound`, cut or padded with silence to `samples`.

    Args:
        sound: shape (samples,), 16 kHz, full scale 1.0.
        samples: length of the window; a multiple of `HOP_SAMPLES`.
        bands: number of mel bands.

    Returns:
        Shape (bands, samples // HOP_SAMPLES), about -1 to 1.
    """
    half = FRAME_SAMPLES // 2
    padded = np.zeros(samples + 2 * half, np.float32)
    padded[half : half + min(len(sound), samples)] = sound[:samples]
    padded[:half] = padded[half + 1 : 2 * half + 1][::-1]
    padded[-half:] = padded[-2 * half - 1 : -half - 1][::-1]
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::HOP_SAMPLES][: samples // HOP_SAMPLES]
    power = np.square(np.abs(np.fft.rfft(frames * _hann()))).astype(np.float32)
    bels = np.log10(np.maximum(_filters(bands) @ power.T, np.float32(FLOOR)))
    return ((np.maximum(bels, bels.max() - DYNAMIC_RANGE) + 4) / 4).astype(np.float32)


@cache
def _hann() -> NDArray[np.float32]:
    return np.hanning(FRAME_SAMPLES + 1)[:-1].astype(np.float32)


@cache
def _filters(bands: int) -> NDArray[np.float32]:
    """Returns triangular filters of equal area, shape (bands, FRAME_SAMPLES // 2 + 1)."""
    bins_hz = np.fft.rfftfreq(FRAME_SAMPLES, 1 / SAMPLE_RATE_HZ)
    edges_hz = _mel_to_hz(np.linspace(0.0, _hz_to_mel(SAMPLE_RATE_HZ / 2), bands + 2))
    widths = np.diff(edges_hz)
    rising = (bins_hz - edges_hz[:-2, None]) / widths[:-1, None]
    falling = (edges_hz[2:, None] - bins_hz) / widths[1:, None]
    area = 2 / (edges_hz[2:] - edges_hz[:-2])
    return (np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32)


def _hz_to_mel(hz: float) -> float:
    return BREAK_MEL + 27 * float(np.log(hz / BREAK_HZ) / np.log(6.4))


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < BREAK_MEL, mel * BREAK_HZ / BREAK_MEL, BREAK_HZ * 6.4 ** ((mel - BREAK_MEL) / 27))
