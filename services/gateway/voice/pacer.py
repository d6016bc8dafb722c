"""Sends sound at the pace at which it is played, a little ahead."""

from __future__ import annotations

import asyncio


class Pacer:
    """Holds sound back until at most `lead_s` of it waits at the listener.

    One pacer serves a session: a reply that starts while the last one still plays queues up behind it.

    Args:
        lead_s: sound in seconds that may be sent ahead of its playing; 0 holds nothing back.
    """

    def __init__(self, lead_s: float) -> None:
        self._lead_s = lead_s
        self._played_until = 0.0

    @property
    def unplayed_s(self) -> float:
        """Sound in seconds that was sent and has yet to be played; 0 where nothing is held back: nobody knows."""
        return max(0.0, self._played_until - asyncio.get_running_loop().time())

    async def pace(self, length_s: float) -> None:
        """Waits until the next `length_s` seconds of sound may be sent."""
        if self._lead_s == 0:
            return
        now = asyncio.get_running_loop().time()
        self._played_until = max(self._played_until, now) + length_s
        ahead_s = self._played_until - now - max(self._lead_s, length_s)
        if ahead_s > 0:
            await asyncio.sleep(ahead_s)
