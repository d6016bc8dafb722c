"""What every test gets, and how the tests are divided among the workers of pytest-xdist."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

if not Path("/dev/nvidiactl").exists():
    # Triton's interpreter runs the kernels where there is no GPU.  Triton reads this when it is imported, which
    # transformers does, so it must be set before any test module is.
    os.environ["TRITON_INTERPRET"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores: more threads in each would only take turns.  torch reads this when it is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

TOGETHER = "tests/e2e/"
"""These run one after the other in one worker, because they share one mesh of six processes."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto` starts one worker more than there are cores: many tests wait for a service or a timeout."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives a worker whole files, so that fixtures of modules are made once, and the longest units first."""
    from xdist.scheduler import LoadScopeScheduling

    class FileScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return TOGETHER if nodeid.startswith(TOGETHER) else nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # it would put first what has most cases: tables of small ones
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the slowest folders first: with workers, what is left for the end must be short."""
    items.sort(key=lambda item: not item.nodeid.startswith(TOGETHER))


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
