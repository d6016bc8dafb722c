"""Where the caller is in the sound that was sent, assumed or reported, and the pace at which more is sent."""

from __future__ import annotations

import asyncio

from services.gateway import metrics

GAP_S = 0.020
"""Silence inside a reply, in seconds, from which on it counts as a gap: shorter ones come from timers."""


class Playback:
    """Follows the caller's playback over a session.

    Positions are seconds of sound since the session's first sample.  They go back when a reply is rewound.

    Unless the caller reports its position, sound is assumed to be played as it arrives, without a pause.

    Args:
        lead_s: seconds of sound that may be sent ahead of playback; 0: no limit, and what was sent counts as played
            until the caller reports its position.
    """

    def __init__(self, lead_s: float) -> None:
        self._lead_s = lead_s
        self._anchor_s = 0.0  # a known position ...
        self._anchor_at = 0.0  # ... and the loop time at which it was reached
        self._reported = False
        self.sent_s = 0.0
        """Position of the end of what was sent."""

    @property
    def paced(self) -> bool:
        """Whether sound is sent at the pace of playback, and the position is therefore known."""
        return self._lead_s > 0 or self._reported

    @property
    def position_s(self) -> float:
        """Position up to which the caller has played."""
        if not self.paced:
            return self.sent_s
        return min(self.sent_s, self._anchor_s + max(0.0, _now() - self._anchor_at))

    @property
    def ends_at(self) -> float:
        """Loop time at which what was sent will have been played."""
        return _now() + self.sent_s - self.position_s

    def wait_s(self, length_s: float) -> float:
        """Returns how long to wait until the next `length_s` seconds may be sent."""
        if self._lead_s == 0:
            return 0.0
        return max(0.0, self.sent_s + length_s - self.position_s - max(self._lead_s, length_s))

    def add(self, length_s: float, *, follows: bool) -> None:
        """Records that sound was sent.

        Args:
            length_s: its length in seconds.
            follows: whether it should follow the sound before it without a gap.
        """
        now, dry = _now(), self.position_s >= self.sent_s
        if dry:
            late_s = now - self._anchor_at - (self.sent_s - self._anchor_s)
            if follows and self.paced and late_s > GAP_S:
                metrics.REPLY_GAPS.inc()
                metrics.REPLY_GAP_SECONDS.inc(late_s)
            self._anchor_s, self._anchor_at = self.sent_s, now
        self.sent_s += length_s

    def report(self, position_s: float) -> None:
        """Takes a position that the caller reports, at most `sent_s`."""
        self._anchor_s, self._anchor_at, self._reported = min(position_s, self.sent_s), _now(), True

    def cut(self) -> float:
        """Drops what has not been played; returns the position at which playback stops."""
        self.sent_s = self.position_s
        return self.sent_s

    def rewind(self, position_s: float) -> None:
        """Goes back to a position; the next sound begins there."""
        self.sent_s = self._anchor_s = position_s
        self._anchor_at = _now()


def _now() -> float:
    return asyncio.get_running_loop().time()
