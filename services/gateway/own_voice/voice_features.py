"""What a voice sounds like in each short part of a clip: its mean cepstrum and its pitch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm
from oviya.audio.pitch import PitchTracker, without_octave_errors

Floats = NDArray[np.float64]

RATE_HZ = 16_000
HOP, WINDOW, FFT = 160, 400, 512
"""Samples: a frame each 10 ms, of 25 ms."""
PITCH_WINDOW = 800
BANDS, LOWEST_HZ, HIGHEST_HZ = 26, 80.0, 7600.0
CEPSTRUM = 20
"""Cepstral coefficients; the first, the level, is not used."""
ACTIVE_DB, ACTIVE_FROM_DBFS = 30.0, -60.0
"""Frames are speech within so many dB of the loudest twentieth, and above this level."""
PAUSE_FRAMES = 15
"""Frames of silence that separate two stretches of speech; stops have fewer."""
PART_FRAMES = 100
"""Frames of a part: about a second, so that it has most of the sounds of a language."""
MIN_PART_FRAMES, MIN_VOICED_FRAMES = 40, 15
FEATURES = CEPSTRUM


@dataclass(frozen=True)
class VoicePart:
    """A stretch of speech without a pause.

    Attributes:
        features: mean cepstral coefficients 1 to 19, then the median pitch in semitones, shape (20,).
        weight: its length in units of `PART_FRAMES`.
    """

    features: Floats
    weight: float


def voice_parts(samples: Pcm) -> list[VoicePart]:
    """Returns the parts of a clip, in order; short stretches and those without a pitch are left out.

    Args:
        samples: shape (samples,), at 16 kHz.
    """
    frames = sliding_window_view(np.pad(samples.astype(np.float64), (0, WINDOW)), WINDOW)[::HOP]
    level = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-10)
    active = np.flatnonzero(level > max(np.quantile(level, 0.95) - ACTIVE_DB, ACTIVE_FROM_DBFS))
    if not len(active):
        return []
    cepstrum = _cepstrum(frames)
    half = WINDOW // 2
    around = np.pad(samples, (PITCH_WINDOW // 2 - half, PITCH_WINDOW + WINDOW))
    pitch = PitchTracker(RATE_HZ, PITCH_WINDOW).track(sliding_window_view(around, PITCH_WINDOW)[::HOP][: len(frames)])
    parts: list[VoicePart] = []
    for stretch in np.split(active, np.flatnonzero(np.diff(active) > PAUSE_FRAMES) + 1):
        # by stretch: another speaker's pitch is no octave error
        f0_hz = without_octave_errors(pitch.f0_hz[stretch])
        count = max(1, round(len(stretch) / PART_FRAMES))
        for at, part_f0_hz in zip(np.array_split(stretch, count), np.array_split(f0_hz, count), strict=True):
            voiced = part_f0_hz[part_f0_hz > 0]
            if len(at) >= MIN_PART_FRAMES and len(voiced) >= MIN_VOICED_FRAMES:
                semitones = 12 * np.log2(np.median(voiced))
                parts.append(VoicePart(np.append(cepstrum[at].mean(axis=0), semitones), len(at) / PART_FRAMES))
    return parts


def _cepstrum(frames: Floats) -> Floats:
    """Returns cepstral coefficients 1 to 19 of each frame, shape (frames, 19)."""
    windowed = (frames - frames.mean(axis=1, keepdims=True)) * np.hamming(WINDOW)
    power = np.abs(np.fft.rfft(windowed, FFT)) ** 2
    order, band = np.arange(CEPSTRUM)[:, None], np.arange(BANDS)[None] + 0.5
    cosines = np.sqrt(2 / BANDS) * np.cos(np.pi * order * band / BANDS)
    return (np.log(power @ _mel_bands().T + 1e-7) @ cosines.T)[:, 1:]


def _mel_bands() -> Floats:
    """Returns the weights of triangular bands, evenly spaced on the mel scale, shape (BANDS, FFT // 2 + 1)."""
    low, high = (1127 * np.log1p(hz / 700) for hz in (LOWEST_HZ, HIGHEST_HZ))
    edges = 700 * np.expm1(np.linspace(low, high, BANDS + 2) / 1127)
    hz = np.fft.rfftfreq(FFT, 1 / RATE_HZ)
    rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(rising, falling), 0, None)
