"""Joins the short pieces of a quiet microphone, because each piece costs the gateway as much as a long one."""

from __future__ import annotations

import numpy as np

from oviya.audio.pcm import Pcm

QUIET_RMS = 10 ** (-50 / 20)
"""Level below which a piece counts as quiet: -50 dBFS."""
QUIET_AFTER_S = 2.0
"""Seconds of quiet after which pieces are joined; turns have ended by then."""
PIECE_S = 0.100
"""Length in seconds of joined pieces.  Pieces of half this length or more are not held."""


class QuietJoiner:
    """Passes sound on as it comes, and in pieces of `PIECE_S` after long quiet.

    The first piece that is not quiet is passed on at once, together with what was held, so the beginning of speech is
    not delayed.

    Args:
        rate_hz: rate of the sound.
    """

    def __init__(self, rate_hz: int) -> None:
        self._piece, self._quiet_after = round(PIECE_S * rate_hz), round(QUIET_AFTER_S * rate_hz)
        self._held: list[Pcm] = []
        self._held_samples = 0
        self._quiet_samples = 0

    def push(self, samples: Pcm) -> Pcm | None:
        """Takes samples, shape (samples,); returns those that are due with what was held before, or None."""
        self._held.append(samples)
        self._held_samples += len(samples)
        if len(samples) and np.dot(samples, samples) >= QUIET_RMS**2 * len(samples):
            self._quiet_samples = 0
        else:
            self._quiet_samples += len(samples)
        if self._quiet_samples <= self._quiet_after or len(samples) >= self._piece / 2:
            return self.take() if self._held_samples else None
        return self.take() if self._held_samples >= self._piece else None

    def take(self) -> Pcm:
        """Returns what is held, possibly nothing."""
        held, self._held, self._held_samples = self._held, [], 0
        return held[0] if len(held) == 1 else np.concatenate([np.zeros(0, np.float32), *held])
