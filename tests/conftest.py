"""What every test gets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

if not Path("/dev/nvidiactl").exists():
    # Triton's interpreter runs the kernels where there is no GPU.  Triton reads this when it is imported, which
    # transformers does, so it must be set before any test module is.
    os.environ["TRITON_INTERPRET"] = "1"


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
