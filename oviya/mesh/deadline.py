"""One deadline for everything that a stop does."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """A point in time that several steps share.

    Args:
        seconds: time from now.
        clock: tells the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    @property
    def left_s(self) -> float:
        """Time that is left in seconds; 0 once it is over."""
        return max(0.0, self._at - self._clock())

    def earlier(self, seconds: float) -> Deadline:
        """Returns the deadline that is over `seconds` before this one."""
        return Deadline(self._at - self._clock() - seconds, self._clock)
