"""Fundamental frequency and periodicity of speech frames, by autocorrelation.

Boersma, "Accurate short-term analysis of the fundamental frequency", IFA Proceedings 17, 1993: the autocorrelation of a
windowed frame, divided by that of the window, has a peak at the period, and the height of the peak is the share of the
frame's power that is periodic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_F0_HZ, MAX_F0_HZ = 65.0, 450.0
"""From a low male voice to a high female one."""
VOICED_FROM = 0.55
"""Least share of periodic power in a voiced frame; white noise stays below 0.4 and a steady vowel is above 0.8."""
OCTAVE_COST = 0.03
"""Cost of each octave by which a period is longer than the shortest one, so that the true period wins over its
multiples, whose peaks are as high."""
MAX_FROM_MEDIAN_ST = 9.0
"""Largest distance from an utterance's median in semitones; speech stays within it, octave errors do not."""


@dataclass(frozen=True, slots=True)
class Pitch:
    """Pitch of consecutive frames.

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


class PitchTracker:
    """Measures the pitch of frames of one length.

    Args:
        rate_hz: sample rate.
        frame_samples: length of a frame; at least three periods of `MIN_F0_HZ` for reliable results.
    """

    def __init__(self, rate_hz: int, frame_samples: int) -> None:
        self.frame_samples = frame_samples
        self._rate_hz = rate_hz
        self._window = np.hanning(frame_samples)
        self._fft_size = 1 << int(2 * frame_samples - 1).bit_length()  # long enough not to wrap around
        self._shortest = int(rate_hz / MAX_F0_HZ)
        self._longest = min(round(rate_hz / MIN_F0_HZ), frame_samples - 2)
        of_window = self._autocorrelation(self._window[None])[0]
        self._of_window = of_window / of_window[0]

    def track(self, frames: NDArray[np.floating]) -> Pitch:
        """Measures each frame by itself.

        Args:
            frames: finite samples, shape (frames, frame_samples); their level and offset do not matter.
        """
        centered = frames.astype(np.float64) - frames.mean(axis=1, keepdims=True, dtype=np.float64)
        correlation = self._autocorrelation(centered * self._window)
        normal = correlation / np.maximum(correlation[:, :1], 1e-12) / self._of_window
        lags = np.arange(self._shortest, self._longest + 1)
        inner = normal[:, lags]
        is_peak = (inner >= normal[:, lags - 1]) & (inner > normal[:, lags + 1])
        score = np.where(is_peak, inner - OCTAVE_COST * np.log2(lags / self._shortest), -1.0)
        rows = np.arange(len(frames))
        best = score.argmax(axis=1)
        lag = lags[best]
        before, peak, after = normal[rows, lag - 1], normal[rows, lag], normal[rows, lag + 1]
        # A parabola through the three values gives the peak's place between two lags.
        bend = before - 2 * peak + after
        shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, -1.0), 0.0)
        has_peak = score[rows, best] > -1.0
        return Pitch(
            np.where(has_peak & (peak >= VOICED_FROM), self._rate_hz / (lag + np.clip(shift, -0.5, 0.5)), 0.0),
            np.where(has_peak, np.clip(peak, 0.0, 1.0), 0.0),
        )

    def _autocorrelation(self, frames: Floats) -> Floats:
        """Autocorrelation at the lags up to one past the longest period, shape (frames, longest + 2)."""
        spectrum = np.fft.rfft(frames, self._fft_size)
        return np.fft.irfft(spectrum.real**2 + spectrum.imag**2, self._fft_size)[:, : self._longest + 2]


def without_octave_errors(f0_hz: Floats) -> Floats:
    """Returns `f0_hz`, shape (frames,), with values far from the median of the voiced frames set to 0."""
    voiced = f0_hz > 0
    if not voiced.any():
        return f0_hz
    distance_st = 12 * np.abs(np.log2(np.where(voiced, f0_hz, 1.0) / np.median(f0_hz[voiced])))
    return np.where(voiced & (distance_st <= MAX_FROM_MEDIAN_ST), f0_hz, 0.0)
