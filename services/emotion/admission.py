"""How many calls are taken at once: one more is refused before anything of it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from oviya.errors import Busy
from services.emotion import metrics

RETRY_AFTER_S = 0.5
"""When a caller that was turned away may try again: an utterance is judged in some milliseconds."""


class Admission:
    """Counts the Detect calls that run.

    Args:
        slots: how many may.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._taken = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Holds a place.

        Raises:
            Busy: all are taken.
        """
        if self._taken >= self._slots:
            metrics.REFUSED.inc()
            raise Busy(f"all {self._slots} places for Detect are taken", retry_after_s=RETRY_AFTER_S)
        self._taken += 1
        metrics.DETECTING.set(self._taken)
        try:
            yield
        finally:
            self._taken -= 1
            metrics.DETECTING.set(self._taken)
