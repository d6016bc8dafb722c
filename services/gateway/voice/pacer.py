"""Sends sound at the pace at which it is played, a little ahead."""

from __future__ import annotations

import asyncio


class Pacer:
    """Limits how much unplayed sound the caller holds.

    One pacer serves a session: a reply that starts while the previous one still plays is queued behind it.

    Args:
        lead_s: seconds of sound that may be sent ahead of playback; 0: no limit.
    """

    def __init__(self, lead_s: float) -> None:
        self._lead_s = lead_s
        self._played_at = 0.0

    async def pace(self, length_s: float) -> float:
        """Waits until the next `length_s` seconds of sound may be sent.

        Returns:
            The loop time at which they will have been played; without a limit it is unknown, and now is returned.
        """
        now = asyncio.get_running_loop().time()
        if self._lead_s == 0:
            return now
        self._played_at = max(self._played_at, now) + length_s
        played_at = self._played_at
        if (wait_s := played_at - now - max(self._lead_s, length_s)) > 0:
            await asyncio.sleep(wait_s)
        return played_at
