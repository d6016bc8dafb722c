"""Waiting for what a test has set going."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE_S = 60.0
"""Long enough for a machine that runs other tests at the same time."""


async def until(condition: Callable[[], object]) -> None:
    """Returns once `condition()` is true.

    Raises:
        TimeoutError: it was not within `PATIENCE_S`.
    """
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)
