"""Waiting for what a test has set going."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE_S = 60.0
"""Long enough for a machine that runs other tests at the same time."""


async def until(condition: Callable[[], object], within_s: float = PATIENCE_S) -> None:
    """Returns once `condition()` is true.

    Raises:
        TimeoutError: it was not within `within_s`.
    """
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)
