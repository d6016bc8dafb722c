"""Measures of recorded speech."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

FRAME_S = 0.020
BANDS = 24
GAP_COST = 0.1
Samples = NDArray[np.float32]


def envelope(samples: Samples, rate_hz: int) -> NDArray[np.float64]:
    """Loudness of each 20 ms: RMS, shape (frames,)."""
    width = round(FRAME_S * rate_hz)
    frames = samples[: len(samples) // width * width].reshape(-1, width).astype(np.float64)
    return np.sqrt((frames**2).mean(axis=1))


def trimmed(samples: Samples, rate_hz: int) -> Samples:
    """What lies between the first and the last sound."""
    first, last = sounding(samples, rate_hz)
    return samples[round(first * rate_hz) : round(last * rate_hz)]


def sounding(samples: Samples, rate_hz: int, below_peak_db: float = 35) -> tuple[float, float]:
    """Where the sound begins and ends, in seconds: the first and the last 20 ms within `below_peak_db` of the loudest.

    Raises:
        AssertionError: there is no sound at all.
    """
    loudness = envelope(samples, rate_hz)
    assert loudness.max(initial=0) > 1e-3, "silence"
    loud = np.flatnonzero(loudness > loudness.max() * 10 ** (-below_peak_db / 20))
    return float(loud[0]) * FRAME_S, float(loud[-1] + 1) * FRAME_S


def band_share(samples: Samples, rate_hz: int, low_hz: float, high_hz: float) -> float:
    """Share of the energy that lies between two frequencies, 0 to 1."""
    power = np.abs(np.fft.rfft(samples.astype(np.float64))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate_hz)
    return float(power[(frequencies >= low_hz) & (frequencies <= high_hz)].sum() / power.sum())


def likeness(reference: Samples, recording: Samples, rate_hz: int) -> float:
    """How much of `reference` is in `recording`, in its order: 1 for the same sound.

    Spectra of both are aligned as by Needleman and Wunsch, since a jitter buffer stretches and shrinks what it plays:
    the mean over the reference's frames of the cosine between paired frames, less GAP_COST for each frame of either
    that has no partner within the alignment.  Another sentence of the same voice reaches about 0.5.
    """
    similar = _spectrum(reference, rate_hz) @ _spectrum(recording, rate_hz).T
    ours, theirs = similar.shape
    slope = GAP_COST * np.arange(theirs + 1)
    best = np.zeros(theirs + 1)  # what precedes the reference costs nothing
    for row in similar:
        paired = np.concatenate(([best[0] - GAP_COST], np.maximum(best[:-1] + row, best[1:] - GAP_COST)))
        best = np.maximum.accumulate(paired + slope) - slope  # frames of the recording that have no partner
    return float(best.max()) / ours


def _spectrum(samples: Samples, rate_hz: int) -> NDArray[np.float64]:
    """Levels of each 20 ms in bands of equal ratio, 100 to 8000 Hz; shape (frames, bands).

    Their mean over time is taken away, and each frame is scaled to length 1, so that products are cosines.
    """
    hop = round(FRAME_S * rate_hz)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, hop // 2), 2 * hop)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(2 * hop), axis=1)) ** 2
    frequencies = np.fft.rfftfreq(2 * hop, 1 / rate_hz)
    edges = np.geomspace(100, 8_000, BANDS + 1)
    bands = np.stack(
        [power[:, (frequencies >= low) & (frequencies < high)].sum(axis=1) for low, high in itertools.pairwise(edges)],
        axis=1,
    )
    decibels = 10 * np.log10(bands + bands.max() * 1e-5)
    centred = decibels - decibels.mean(axis=0)
    return centred / (np.linalg.norm(centred, axis=1, keepdims=True) + 1e-9)
