"""An event loop on which waiting takes no time, for code that asyncio alone drives."""

from __future__ import annotations

import asyncio


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its clock stands still while something runs and jumps to the next timer when nothing does.

    Tests choose it with the marker `virtual_time`.  It knows nothing of sockets and threads: a timeout passes at once
    while one of those is waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        # Both attributes are asyncio's own: the callbacks that are due, and a heap of timers.
        ready, timers = self._ready, self._scheduled  # pyright: ignore[reportAttributeAccessIssue]
        if not ready and timers:
            self._now = max(self._now, timers[0].when())
        super()._run_once()  # pyright: ignore[reportAttributeAccessIssue]
