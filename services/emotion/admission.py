"""Limits how many Detect calls run at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from oviya.errors import Busy
from services.emotion import metrics

RETRY_AFTER_S = 0.5
"""An utterance is judged in some milliseconds, so that a slot is free soon."""


class Admission:
    """Counts the Detect calls that run.

    Args:
        slots: most at once.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._used = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Holds a slot.

        Raises:
            Busy: every slot is taken.
        """
        if self._used >= self._slots:
            metrics.REFUSED.inc()
            raise Busy(f"all {self._slots} slots for Detect are taken", retry_after_s=RETRY_AFTER_S)
        self._used += 1
        metrics.DETECTING.set(self._used)
        try:
            yield
        finally:
            self._used -= 1
            metrics.DETECTING.set(self._used)
