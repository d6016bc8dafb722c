"""Fundamental frequency and periodicity, frame by frame, by autocorrelation.

Boersma (1993): the autocorrelation of a windowed frame, divided by that of the window, peaks at the period, and the
height of the peak is the share of the frame's power that is periodic.  We take the best peak of each frame, prefer
shorter periods among equals, and leave out what lies far from the utterance's own median, where octave errors lie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_F0_HZ, MAX_F0_HZ = 65.0, 450.0
"""From a low male voice to a high female one."""
WINDOW_S = 0.045
"""Three periods of the lowest voice."""
VOICED_FROM = 0.55
"""Least share of periodic power in a voiced frame; white noise stays below 0.4."""
OCTAVE_COST = 0.03
"""Loss of a peak for each octave that its period is longer: of equal peaks the shortest period is the voice's."""
MAX_FROM_MEDIAN_ST = 9.0
"""Largest distance from the median in semitones; speech keeps within, an octave error does not."""


@dataclass(frozen=True, slots=True)
class Pitch:
    """F0 of an utterance, one value a frame.

    Attributes:
        f0_hz: fundamental frequency in Hz, shape (frames,); 0 where the frame is not voiced.
        periodicity: share of periodic power, 0 to 1, shape (frames,).
    """

    f0_hz: Floats
    periodicity: Floats

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Which frames are voiced, shape (frames,)."""
        return self.f0_hz > 0


def track_pitch(samples: Floats, rate_hz: int, hop: int, loud: NDArray[np.bool_]) -> Pitch:
    """Finds the pitch of `samples`, shape (samples,).

    Args:
        samples: finite, full scale 1.0.
        rate_hz: their rate.
        hop: samples from frame to frame.
        loud: which frames may be voiced, shape (frames,); frame i starts at sample i * hop.
    """
    frames = len(loud)
    f0_hz, periodicity = np.zeros(frames), np.zeros(frames)
    at = np.flatnonzero(loud)
    if not len(at):
        return Pitch(f0_hz, periodicity)
    width = round(WINDOW_S * rate_hz)
    padded = np.pad(samples, (0, width))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, width)[at * hop]
    pieces = pieces - pieces.mean(axis=1, keepdims=True)
    window = np.hanning(width)
    size = 1 << int(2 * width - 1).bit_length()
    correlation = _autocorrelation(pieces * window, size)[:, :width]
    of_window = _autocorrelation(window[None], size)[0, :width]
    shortest, longest = int(rate_hz / MAX_F0_HZ), min(round(rate_hz / MIN_F0_HZ), width - 2)
    power = np.maximum(correlation[:, :1], 1e-12)
    normal = correlation[:, : longest + 2] / power / (of_window[: longest + 2] / of_window[0])
    lags = np.arange(shortest, longest + 1)
    inner = normal[:, shortest : longest + 1]
    is_peak = (inner >= normal[:, shortest - 1 : longest]) & (inner > normal[:, shortest + 1 : longest + 2])
    worth = np.where(is_peak, inner - OCTAVE_COST * np.log2(lags / shortest), -1.0)
    best = worth.argmax(axis=1)
    rows = np.arange(len(at))
    lag = lags[best]
    before, peak, after = normal[rows, lag - 1], normal[rows, lag], normal[rows, lag + 1]
    bend = before - 2 * peak + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, -1.0), 0.0)
    has_peak = worth[rows, best] > -1.0
    periodicity[at] = np.where(has_peak, np.clip(peak, 0.0, 1.0), 0.0)
    found = np.where(has_peak & (peak >= VOICED_FROM), rate_hz / (lag + np.clip(shift, -0.5, 0.5)), 0.0)
    voiced = found > 0
    if voiced.any():
        distance_st = 12 * np.abs(np.log2(np.where(voiced, found, 1.0) / np.median(found[voiced])))
        found = np.where(voiced & (distance_st <= MAX_FROM_MEDIAN_ST), found, 0.0)
    f0_hz[at] = found
    return Pitch(f0_hz, periodicity)


def _autocorrelation(rows: Floats, size: int) -> Floats:
    spectrum = np.fft.rfft(rows, size)
    return np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)
