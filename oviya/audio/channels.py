"""Several channels to one, without losing what they hold.

Averaging is right for most recordings and wrong for some: channels out of phase cancel each other, and a channel
without sound takes half of the level.  So channels in opposite phase are turned over, silent ones are left out, and
where the average would still be much weaker than the loudest channel, that one is taken alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm

STEP = 4096
"""Samples for which the weights of the channels are decided at a time: some 0.1 to 0.5 s, about a syllable."""
FADE = 256
"""Samples over which changed weights are faded in, so that they do not click."""
MEMORY_STEPS = 0.5
"""Steps after which what was measured has lost two thirds of its weight: whoever speaks next is followed within one."""
IN_PHASE = 0.3
"""Correlation from which on two channels are taken to be in phase, or, negative, in opposite phase."""
SILENT_POWER = 0.01
"""A channel that is 20 dB weaker than the loudest has nothing to add."""
LOST_POWER = 0.25
"""An average that is 6 dB weaker than the loudest channel has lost what that holds."""
FLOOR_POWER = 1e-10
"""Below -100 dBFS nothing is decided."""


class Downmix:
    """Mixes one stream of several channels, piece by piece.

    Args:
        channels: how many there are, at least 1.
    """

    def __init__(self, channels: int) -> None:
        if channels < 1:
            raise ValueError(f"there must be at least one channel, not {channels}")
        self.channels = channels
        """How many go in."""
        self._covariance = np.zeros((channels, channels))
        self._signs = np.ones(channels)
        self._weights: NDArray[np.float64] | None = None
        self._usable = np.ones(channels, bool)

    def push(self, samples: NDArray[np.floating]) -> Pcm:
        """Takes samples, shape (channels, samples); returns the mix, shape (samples,).

        A channel that holds a NaN or an infinity is broken and left out from there on.

        Raises:
            ValueError: no channel is left, or the shape is another.
        """
        if samples.ndim != 2 or len(samples) != self.channels:
            raise ValueError(f"expected shape ({self.channels}, samples), not {samples.shape}")
        self._usable &= np.isfinite(samples).all(axis=1)
        if not self._usable.any():
            raise ValueError("samples must be finite numbers")
        if self.channels == 1:
            return samples[0].astype(np.float32)
        clean = np.where(self._usable[:, np.newaxis], samples, 0.0).astype(np.float64)
        steps = [self._step(clean[:, start : start + STEP]) for start in range(0, clean.shape[1], STEP)]
        return np.concatenate(steps).astype(np.float32) if steps else np.zeros(0, np.float32)

    def _step(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mixes one step, shape (channels, samples)."""
        count = samples.shape[1]
        centred = samples - samples.mean(axis=1, keepdims=True)  # an offset is no sound
        kept = np.exp(-count / (STEP * MEMORY_STEPS))
        self._covariance = kept * self._covariance + (1 - kept) * (centred @ centred.T) / count
        before, weights = self._weights, self._decide()
        self._weights = weights
        if before is None or np.array_equal(before, weights):
            return weights @ samples
        share = np.clip(np.arange(1, count + 1, dtype=np.float64) / FADE, 0.0, 1.0)
        return (before @ samples) * (1 - share) + (weights @ samples) * share

    def _decide(self) -> NDArray[np.float64]:
        """Returns the weight of each channel."""
        power = np.diag(self._covariance)
        loudest = int(np.argmax(np.where(self._usable, power, -1.0)))
        if power[loudest] < FLOOR_POWER:
            if self._weights is not None and not self._weights[~self._usable].any():
                return self._weights
            return self._usable / self._usable.sum()
        heard = self._usable & (power >= SILENT_POWER * power[loudest])
        chosen = np.zeros(self.channels)
        for channel in np.argsort(-power):  # the loudest keeps its sign, each further one goes with those before it
            if not heard[channel]:
                continue
            together = float(chosen @ self._covariance[channel])
            mixed = float(chosen @ self._covariance @ chosen)
            if mixed > 0:
                correlation = together / np.sqrt(mixed * power[channel])
                if abs(correlation) >= IN_PHASE:
                    self._signs[channel] = np.sign(correlation)
            chosen[channel] = self._signs[channel]
        weights = chosen / heard.sum()
        if float(weights @ self._covariance @ weights) < LOST_POWER * (1 - 1e-6) * power[loudest]:
            weights = np.zeros(self.channels)
            weights[loudest] = self._signs[loudest]
        return weights


def mix_down(samples: NDArray[np.floating]) -> Pcm:
    """Mixes a whole recording, shape (channels, samples), to one channel, shape (samples,).

    Raises:
        ValueError: every channel holds a NaN or an infinity, or there is no channel.
    """
    return Downmix(len(samples)).push(samples)
