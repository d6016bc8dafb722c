"""A deadline that all steps of a shutdown share."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """A point in time, `seconds` from now."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    @property
    def left_s(self) -> float:
        """Remaining time in seconds; 0 after the deadline."""
        return max(0.0, self._at - self._clock())

    def earlier(self, seconds: float) -> Deadline:
        """Returns a deadline `seconds` before this one."""
        return Deadline(self._at - self._clock() - seconds, self._clock)
