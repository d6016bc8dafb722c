"""How many positions of newcomers' prompts are run between two frames, so that no gap between frames grows too long.

A row that speaks waits for both: the prompts' positions and its frame, which grows with the rows that speak and the
positions behind them.  Both are measured, and what a frame leaves of the budget is the newcomers'.
"""

from __future__ import annotations

GAP_BUDGET_S = 0.072
"""Longest wanted time between two frames; a frame is 80 ms of sound."""

LEAST_POSITIONS = 256
"""What newcomers get however long the frames take: a prompt of 1,000 positions still needs four of them at most."""

_LATEST = 0.2
"""Weight of the newest measurement in the running means: they follow what changes within some five frames."""
_DEVIATIONS = 2
"""Mean deviations that are kept free for the gaps that are longer than foreseen (as TCP does for its timers, RFC 6298;
four there).  Of a bell curve they leave 5 % above."""


class PrefillBudget:
    """Decides by what it was told of the last frames.  Not thread-safe.

    Args:
        most: positions where nobody waits for a frame or the budget leaves room for them.
        least: positions that are run anyway, unless `most` is less.
        gap_s: the budget.
    """

    def __init__(self, most: int, *, least: int = LEAST_POSITIONS, gap_s: float = GAP_BUDGET_S) -> None:
        self._most, self._least, self._gap_s = most, min(least, most), gap_s
        self._rest_s: float | None = None  # of a gap, beside the positions
        self._position_s: float | None = None
        self._deviation_s = 0.0

    def note(self, gap_s: float, positions: int, prefill_s: float) -> None:
        """Takes in one gap between frames that followed each other without a pause.

        Args:
            gap_s: all of it: host, prompts, frame.
            positions: that were run in it.
            prefill_s: what they took of it.
        """
        if self._rest_s is not None and (self._position_s is not None or not positions):
            foreseen = self._rest_s + (self._position_s or 0.0) * positions
            self._deviation_s += _LATEST * (abs(gap_s - foreseen) - self._deviation_s)
        self._rest_s = _mean(self._rest_s, gap_s - prefill_s)
        if positions:
            self._position_s = _mean(self._position_s, prefill_s / positions)

    def positions(self, *, awaited: bool) -> int:
        """Positions to run now; `awaited` says whether any row waits for its next frame meanwhile."""
        if not awaited or self._rest_s is None or self._position_s is None:
            return self._most
        left_s = self._gap_s - self._rest_s - _DEVIATIONS * self._deviation_s
        if left_s >= self._most * self._position_s:  # also where positions cost nothing that could be measured
            return self._most
        return max(self._least, int(left_s / self._position_s))


def _mean(mean: float | None, newest: float) -> float:
    return newest if mean is None else mean + _LATEST * (newest - mean)
