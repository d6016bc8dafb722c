"""Finds held tones, by which music differs from speech.

The harmonics of a voice follow its pitch, which never stays the same for a fifth of a second; above 500 Hz, where the
harmonics are high multiples of the pitch, they move by many hertz.  Notes of instruments keep their frequency.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm

WINDOW, HOP = 2048, 256
"""Samples of a spectrum and from one to the next: 128 and 16 ms at 16 kHz."""
LOWEST_HZ, HIGHEST_HZ = 500.0, 4000.0
NEIGHBOURS = 12
"""Bins on each side of a peak over whose median it must rise."""
PROMINENCE_DB = 12.0
RANGE_DB, LOUD_DB = 45.0, 40.0
"""Peaks and frames that are further below the highest one are left out."""
HELD_FRAMES = 12
"""Frames for which a tone must be held, 192 ms."""
STEP_BINS, DRIFT_BINS = 0.30, 0.35
"""Most change of a tone's frequency from one frame to the next, and since it began: 2.3 and 2.7 Hz."""
HELD_POWER = 0.2
"""Share of the power in peaks from which on a frame counts as tonal."""


@dataclass
class _Tone:
    start: float
    last: float
    powers: list[float] = field(default_factory=list)


def tonal_share(samples: Pcm, rate_hz: int) -> float:
    """Returns the share of the loud frames in which tones are held.

    Args:
        samples: shape (samples,), at least one.
        rate_hz: 16,000.
    """
    levels = _levels(samples)
    low, high = (round(hz * WINDOW / rate_hz) for hz in (LOWEST_HZ, HIGHEST_HZ))
    inner, before, after = levels[:, low:high], levels[:, low - 1 : high - 1], levels[:, low + 1 : high + 1]
    floor = np.median(
        sliding_window_view(np.pad(inner, ((0, 0), (NEIGHBOURS, NEIGHBOURS)), mode="edge"), 2 * NEIGHBOURS + 1, axis=1),
        axis=2,
    )
    is_peak = (inner > before) & (inner >= after) & (inner - floor > PROMINENCE_DB) & (inner > inner.max() - RANGE_DB)
    # a parabola through three bins gives the place of the peak between them
    bend = before - 2 * inner + after
    places = np.arange(low, high) + np.clip(0.5 * (before - after) / np.where(bend < 0, bend, -1.0), -0.5, 0.5)
    power = 10 ** (inner / 10)
    held = _held_power(is_peak, places, power)
    in_peaks = (power * is_peak).sum(axis=1) + 1e-12
    total = power.sum(axis=1) + 1e-12
    loud = 10 * np.log10(total / total.max()) > -LOUD_DB
    return float((held / in_peaks > HELD_POWER)[loud].mean())


def _levels(samples: Pcm) -> NDArray[np.float64]:
    """Returns the spectrum of each frame in dB, shape (frames, bins)."""
    frames = sliding_window_view(np.pad(samples, (0, WINDOW)), WINDOW)[::HOP]
    return 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(WINDOW))) + 1e-9)


def _held_power(
    is_peak: NDArray[np.bool_], places: NDArray[np.float64], power: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Follows peaks from frame to frame; returns the power of the held ones in each frame, shape (frames,)."""
    held = np.zeros(len(is_peak))
    tones: list[_Tone] = []

    def end(tone: _Tone, at: int) -> None:
        if len(tone.powers) >= HELD_FRAMES:
            held[at - len(tone.powers) : at] += tone.powers

    for at, peaks in enumerate(is_peak):
        bins = np.flatnonzero(peaks)
        free = dict(zip(bins.tolist(), places[at, bins].tolist(), strict=True))
        going: list[_Tone] = []
        for tone in tones:
            nearest = min(free, key=lambda bin: abs(free[bin] - tone.last), default=None)
            if (
                nearest is None
                or abs(free[nearest] - tone.last) > STEP_BINS
                or abs(free[nearest] - tone.start) > DRIFT_BINS
            ):
                end(tone, at)
                continue
            tone.last = free.pop(nearest)
            tone.powers.append(float(power[at, nearest]))
            going.append(tone)
        going += [_Tone(place, place, [float(power[at, bin])]) for bin, place in free.items()]
        tones = going
    for tone in tones:
        end(tone, len(is_peak))
    return held
