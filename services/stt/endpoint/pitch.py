"""The melody of a turn, as far as it tells of an end: a speaker who has said all falls to the bottom of the voice."""

from __future__ import annotations

import numpy as np

from oviya.audio.pcm import Pcm
from services.stt.endpoint.vad import WINDOW_SAMPLES
from services.stt.recognizer import SAMPLE_RATE_HZ

LOWEST_HZ, HIGHEST_HZ = 70.0, 400.0
FRAME_SAMPLES = 2 * WINDOW_SAMPLES
"""64 ms: four periods of the lowest voice."""
FFT_SIZE = 2 * FRAME_SAMPLES
"""Twice the frame, so that the autocorrelation does not wrap around."""
VOICED_CORRELATION = 0.55
"""A frame that repeats itself less well has no pitch; a steady vowel is above 0.8."""
OCTAVE_SHARE = 0.9
"""Of peaks that are nearly as high the first is taken: the others are its multiples."""
LAST_FRAMES = 3
"""Voiced frames that make the end: some 100 ms, the last vowel."""
MIN_FRAMES = 8
"""Voiced frames from which on a voice is known, a quarter of a second."""


class PitchTrack:
    """Follows the fundamental frequency of one turn, window by window, by autocorrelation (Boersma, "Accurate
    short-term analysis of the fundamental frequency", IFA Proceedings 17, 1993)."""

    def __init__(self) -> None:
        self._taper = np.hanning(FRAME_SAMPLES)
        self._shortest, self._longest = round(SAMPLE_RATE_HZ / HIGHEST_HZ), round(SAMPLE_RATE_HZ / LOWEST_HZ)
        # The taper's own autocorrelation, by which long lags come out too small.
        self._taper_lags = self._lags(self._taper)
        self.begin()

    def begin(self) -> None:
        """Forgets the last turn."""
        self._before: Pcm | None = None
        self._semitones: list[float] = []

    def push(self, window: Pcm) -> None:
        """Takes the next window of speech, shape (WINDOW_SAMPLES,)."""
        before, self._before = self._before, window
        if before is None:
            return
        frame = np.concatenate((before, window)).astype(np.float64)
        lags = self._lags((frame - frame.mean()) * self._taper)
        if lags[0] <= 0:
            return
        correlation = lags / lags[0] / (self._taper_lags / self._taper_lags[0])
        inside = correlation[self._shortest : self._longest]
        best = float(inside.max())
        if best < VOICED_CORRELATION:
            return
        peaks = np.flatnonzero(
            (inside[1:-1] >= OCTAVE_SHARE * best) & (inside[1:-1] >= inside[:-2]) & (inside[1:-1] >= inside[2:])
        )
        lag = self._shortest + (int(peaks[0]) + 1 if len(peaks) else int(inside.argmax()))
        self._semitones.append(12 * float(np.log2(SAMPLE_RATE_HZ / lag)))

    def fall(self) -> float | None:
        """Returns by how many semitones the end lies below the turn's median; None: too little has been voiced."""
        if len(self._semitones) < MIN_FRAMES:
            return None
        return float(np.median(self._semitones) - np.median(self._semitones[-LAST_FRAMES:]))

    def _lags(self, frame: np.ndarray) -> np.ndarray:
        """Autocorrelation at the lags up to the longest period."""
        spectrum = np.fft.rfft(frame, FFT_SIZE)
        return np.fft.irfft(np.abs(spectrum) ** 2)[: self._longest + 1]
