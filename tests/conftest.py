"""What every test gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio


@pytest_asyncio.fixture(autouse=True)
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fails the test that leaves an asyncio task running."""
    before = asyncio.all_tasks()
    yield
    for _ in range(20):  # closing a channel takes the loop a few rounds
        leaked = {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}
        if not leaked:
            return
        await asyncio.sleep(0.05)
    assert not leaked, f"the test left tasks running: {[task.get_coro() for task in leaked]}"
