"""How many positions of prompts are run between two frames, so that gaps between frames stay short.

A decoding row waits for both the prompts and its frame, whose time grows with the rows and with the positions in their
context.  Both times are measured; prompts get what the frame leaves of the budget.
"""

from __future__ import annotations

GAP_BUDGET_S = 0.072
"""Longest wanted time between two frames; a frame is 80 ms of sound."""

MIN_POSITIONS = 256
"""Positions that are run however long frames take: a prompt of 1,000 positions then needs four gaps at most."""

_NEWEST_WEIGHT = 0.2
"""Weight of the newest measurement in the running means, which thus follow a change within about five frames."""
_DEVIATIONS = 2
"""Mean deviations that are kept free, because some gaps are longer than predicted (TCP's timers keep four, RFC 6298).
For a normal distribution about 5 % of the gaps exceed the budget."""


class PrefillBudget:
    """Computes the number of positions from the gaps of recent frames.  Not thread-safe.

    Args:
        most: positions if no row is decoding, or if the budget leaves room for them.
        least: positions that are run in any case, unless `most` is less.
        gap_s: the budget.
    """

    def __init__(self, most: int, *, least: int = MIN_POSITIONS, gap_s: float = GAP_BUDGET_S) -> None:
        self._most, self._least, self._gap_s = most, min(least, most), gap_s
        self._frame_s: float | None = None  # of a gap, without the positions
        self._position_s: float | None = None
        self._deviation_s = 0.0

    def update(self, gap_s: float, positions: int, prefill_s: float) -> None:
        """Adds the gap between two frames that followed each other without a pause.

        Args:
            gap_s: the whole gap: host, prompts and frame.
            positions: positions of prompts that were run in it.
            prefill_s: time that they took.
        """
        if self._frame_s is not None and (self._position_s is not None or not positions):
            predicted = self._frame_s + (self._position_s or 0.0) * positions
            self._deviation_s += _NEWEST_WEIGHT * (abs(gap_s - predicted) - self._deviation_s)
        self._frame_s = _mean(self._frame_s, gap_s - prefill_s)
        if positions:
            self._position_s = _mean(self._position_s, prefill_s / positions)

    def positions(self, *, decoding: bool) -> int:
        """Positions to run before the next frame; `decoding`: whether any row waits for that frame."""
        if not decoding or self._frame_s is None or self._position_s is None:
            return self._most
        left_s = self._gap_s - self._frame_s - _DEVIATIONS * self._deviation_s
        if left_s >= self._most * self._position_s:  # also if positions took no measurable time
            return self._most
        return max(self._least, int(left_s / self._position_s))


def _mean(mean: float | None, newest: float) -> float:
    return newest if mean is None else mean + _NEWEST_WEIGHT * (newest - mean)
