"""The clock of a caller's microphone, estimated from when its sound arrives."""

from __future__ import annotations

import math

WINDOW_S = 2.0
"""Seconds after which a new minimum of the lateness begins; one or two windows count."""
SILENT_TOLERANCE_S, PLAYING_TOLERANCE_S = 0.015, 0.06
"""Errors of the clock that are left alone: 15 ms, which a drift of 100 ppm takes 150 s to reach, and while a reply is
played, when a correction makes the canceller look for the delay again, 60 ms."""


class CaptureClock:
    """Maps the caller's samples to loop times, without the jitter of their arrival.

    Messages come late, never early, so the earliest ones of the last seconds tell the time.  The difference between
    that time and the capture is constant, and part of the delay of the echo.  It changes if the clocks drift, and if
    the caller leaves sound out.

    Args:
        rate_hz: rate of the caller's sound.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._origin: float | None = None
        self._window_ends = -math.inf
        self._earliest = self._earliest_before = math.inf

    def note_arrival(self, samples: int, arrived: float, *, playing: bool) -> None:
        """Notes that the caller's first `samples` samples had arrived at loop time `arrived`.

        Args:
            samples: counted from the beginning of the session.
            arrived: loop time in seconds.
            playing: whether a reply is played.
        """
        origin = arrived - samples / self._rate_hz
        if arrived >= self._window_ends:
            self._window_ends = arrived + WINDOW_S
            self._earliest_before, self._earliest = self._earliest, math.inf
        self._earliest = min(self._earliest, origin)
        earliest = min(self._earliest, self._earliest_before)
        tolerance_s = PLAYING_TOLERANCE_S if playing else SILENT_TOLERANCE_S
        if self._origin is None or abs(earliest - self._origin) > tolerance_s:
            self._origin = earliest

    def index(self, sample: int) -> int:
        """Returns the loop time of the caller's sample, times the rate.

        Raises:
            RuntimeError: no sound has arrived.
        """
        if self._origin is None:
            raise RuntimeError("no sound has arrived")
        return round(self._origin * self._rate_hz) + sample
