"""Asks a user who says nothing for long, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress


class SilencePrompt:
    """Watches for a long silence of one user.

    Args:
        after_s: length of the silence in seconds.
        ask: called once in every long silence.
    """

    def __init__(self, after_s: float, ask: Callable[[], None]) -> None:
        self._after_s, self._ask = after_s, ask
        self._changed = asyncio.Event()
        self._busy = 0
        self._asked = False
        self._since: float | None = None  # when the silence began; None: there is none

    def user_active(self) -> None:
        """The user has spoken or typed; a silence that follows is a new one."""
        self._asked = False

    def turn_began(self) -> None:
        """The user speaks, or a reply is being given."""
        self._busy += 1
        self._since = None
        self._changed.set()

    def turn_over(self) -> None:
        """What `turn_began` reported has ended."""
        self._busy = max(0, self._busy - 1)
        if not self._busy:
            self._since = asyncio.get_running_loop().time()
        self._changed.set()

    async def run(self) -> None:
        """Calls `ask` until it is cancelled."""
        while True:
            deadline = None if self._since is None or self._asked else self._since + self._after_s
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            self._changed.clear()
            if deadline is not None and self._since is not None and asyncio.get_running_loop().time() >= deadline:
                self._asked = True
                self._ask()
