"""Mixes several channels down to one, without cancellation.

An average suits most recordings, but channels in opposite phase cancel each other, and a silent channel halves the
level.  Therefore channels in opposite phase are inverted, silent ones are left out, and if the average would still be
much weaker than the loudest channel, only that channel is used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm

STEP = 4096
"""Samples per decision on the channels' weights: 0.1 to 0.5 s, about a syllable."""
FADE = 256
"""Samples of the cross-fade to changed weights, which avoids clicks."""
MEMORY_STEPS = 0.5
"""Time constant of the covariance in steps: the weights follow a change of speaker within one step."""
IN_PHASE = 0.3
"""Minimum correlation of channels in phase; negative: in opposite phase."""
SILENT_POWER = 0.01
"""A channel 20 dB below the loudest counts as silent."""
LOST_POWER = 0.25
"""An average 6 dB below the loudest channel is not used."""
FLOOR_POWER = 1e-10
"""Below -100 dBFS the weights do not change."""


class Downmix:
    """Mixes a stream of several channels, chunk by chunk.

    Args:
        channels: number of channels, at least 1.
    """

    def __init__(self, channels: int) -> None:
        if channels < 1:
            raise ValueError(f"there must be at least one channel, not {channels}")
        self.channels = channels
        """Number of input channels."""
        self._covariance = np.zeros((channels, channels))
        self._signs = np.ones(channels)
        self._weights: NDArray[np.float64] | None = None
        self._usable = np.ones(channels, bool)

    def push(self, samples: NDArray[np.floating]) -> Pcm:
        """Mixes samples, shape (channels, samples), to shape (samples,).

        A channel with a NaN or an infinity is left out from then on.

        Raises:
            ValueError: no channel is left, or the shape is wrong.
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
        centred = samples - samples.mean(axis=1, keepdims=True)  # without DC offset
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
        for channel in np.argsort(-power):  # the loudest keeps its sign; each other one is aligned with those before it
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
