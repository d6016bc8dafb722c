"""What every test gets, and how the tests are divided among the workers of pytest-xdist."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.virtual_time import VirtualTimeLoop

if not Path("/dev/nvidiactl").exists():
    # Triton's interpreter runs the kernels where there is no GPU.  Triton reads this when it is imported, which
    # transformers does, so it must be set before any test module is.
    os.environ["TRITON_INTERPRET"] = "1"

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
FIRST_WORKER = "gw0"
REAL_TIME = "tests/e2e/"
"""These share one mesh of six processes, and talk at real pace: the first worker runs them, one after the other."""
if WORKER:
    # The workers share the cores: more threads in each would only take turns.  torch reads this when it is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if WORKER not in ("", FIRST_WORKER):
    os.nice(19)  # the computations of other tests must not make speech stutter


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
            return REAL_TIME if nodeid.startswith(REAL_TIME) else nodeid.partition("::")[0]

        def schedule(self) -> None:
            if self.collection is None:  # workers are listed as they became ready; the first unit is for the first one
                by_name = sorted(self.assigned_work.items(), key=lambda item: item[0].gateway.id)
                self.assigned_work = dict(by_name)
            super().schedule()

    config.option.loadscopereorder = False  # it would put first what has most cases: tables of small ones
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest unit first, so that the workers end together."""
    items.sort(key=lambda item: not item.nodeid.startswith(REAL_TIME))


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Runs each test on a loop of its own, in virtual time where its marker says so."""
    virtual = item.get_closest_marker("virtual_time")
    return {"loop": VirtualTimeLoop if virtual else asyncio.new_event_loop}


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
