"""A circuit breaker: it stops calls to a failing backend for a while."""

from __future__ import annotations

from dataclasses import dataclass

MAX_EXPONENT = 32


@dataclass(slots=True)
class CircuitBreaker:
    """Open, it stops calls; after a pause, the next calls are a trial.  The pause doubles each time until a reset.

    Times are in seconds; `open_until` is a time of the caller's clock.
    """

    pause_s: float
    max_pause_s: float
    open_until: float = float("-inf")
    problem: str = ""
    trips: int = 0

    def is_open(self, now: float) -> bool:
        """Whether calls are stopped."""
        return now < self.open_until

    def trip(self, now: float, problem: str) -> None:
        """Opens the breaker, unless it is open: calls that fail together count once."""
        if self.is_open(now):
            return
        self.open_until = now + min(self.pause_s * 2**self.trips, self.max_pause_s)
        self.trips, self.problem = min(self.trips + 1, MAX_EXPONENT), problem

    def reset(self) -> None:
        """Closes the breaker after a success."""
        self.open_until, self.trips = float("-inf"), 0
