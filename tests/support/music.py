"""Music for tests: chords, melodies and drums, at 16 kHz."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float32]

RATE_HZ = 16_000
HIGHEST_HZ = 7_000.0


def chords(seconds: float, seed: int) -> Sound:
    """Returns chords of four decaying notes, two a second, shape (samples,)."""
    random = np.random.default_rng(seed)
    root = 110 * 2 ** (random.integers(12) / 12)
    steps = [
        sum(
            _note(root * 2 ** ((interval + degree) / 12), 0.5, fade=random.uniform(0.5, 4), bright=0.6)
            for interval in (0, random.choice([3, 4]), 7, 12)
        )
        for degree in random.choice([0, 5, 7, -4], size=int(np.ceil(2 * seconds)))
    ]
    return _levelled(np.concatenate(steps)[: round(seconds * RATE_HZ)])


def melody(seconds: float, seed: int) -> Sound:
    """Returns single notes of a quarter to half a second, shape (samples,)."""
    random = np.random.default_rng(seed)
    notes: list[NDArray[np.float64]] = []
    while sum(map(len, notes)) < seconds * RATE_HZ:
        notes.append(_note(220 * 2 ** (random.integers(24) / 12), random.choice([0.25, 0.375, 0.5]), 3.0, 0.6))
    return _levelled(np.concatenate(notes)[: round(seconds * RATE_HZ)])


def drums(seconds: float, seed: int) -> Sound:
    """Returns a beat of bass drum, snare and hi-hat, shape (samples,)."""
    random = np.random.default_rng(seed)
    length = RATE_HZ // 4
    time = np.arange(length) / RATE_HZ
    bass, snare, hat = np.sin(2 * np.pi * 60 * time) * np.exp(-20 * time), np.exp(-15 * time), np.exp(-80 * time)
    beats = [
        bass if at % 4 == 0 else random.normal(size=length) * (snare if at % 4 == 2 else hat) / 2
        for at in range(int(np.ceil(4 * seconds)))
    ]
    return _levelled(np.concatenate(beats)[: round(seconds * RATE_HZ)])


def _note(f0_hz: float, seconds: float, fade: float, bright: float) -> NDArray[np.float64]:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    harmonics = range(1, int(HIGHEST_HZ / f0_hz) + 1)
    tone = sum((bright ** (k - 1) * np.sin(2 * np.pi * f0_hz * k * time) for k in harmonics), np.zeros(len(time)))
    return tone * np.exp(-fade * time)


def _levelled(samples: NDArray[np.float64]) -> Sound:
    return (0.5 * samples / np.abs(samples).max()).astype(np.float32)
