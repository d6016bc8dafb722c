"""Rate limits: how much of something a caller may send over time."""

from __future__ import annotations

import time
from collections.abc import Callable


class TokenBucket:
    """Allows `rate` units per second on average and `burst` units at once.

    Args:
        rate: units per second.
        burst: units that may be sent at once after a pause.
        clock: monotonic time in seconds.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._at = burst, clock()

    def try_acquire(self, amount: float = 1.0) -> bool:
        """Takes `amount` units if they are available; returns whether it did."""
        self._refill()
        if amount > self._left:
            return False
        self._left -= amount
        return True

    def reserve(self, amount: float) -> float:
        """Takes `amount` units in any case; returns the time in seconds to wait before they are used."""
        self._refill()
        self._left -= amount
        return max(0.0, -self._left / self._rate)

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
