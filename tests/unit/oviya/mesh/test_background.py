"""Background loops that end are counted, shown and started again."""

from __future__ import annotations

import asyncio

from oviya.mesh.background import BackgroundLoops
from tests.support.metrics import metric


def _failures(loop: str) -> float:
    return metric("loop_failures_total", loop=loop)


async def test_a_loop_that_raises_is_counted_shown_and_started_again():
    changes: list[tuple[str, str]] = []
    runs = 0
    healthy = asyncio.Event()

    async def loop() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("a marker that must not be shown")
        healthy.set()
        await asyncio.Event().wait()

    before = _failures("raises")
    loops = BackgroundLoops(lambda name, problem: changes.append((name, problem)), first_pause_s=0.01)
    loops.start("raises", loop)
    async with asyncio.timeout(20):
        await healthy.wait()
    assert _failures("raises") == before + 1
    assert [name for name, _ in changes] == ["raises", "raises"]
    assert "ValueError" in changes[0][1]
    assert "marker" not in changes[0][1]
    assert changes[1][1] == ""
    assert not loops.down
    await loops.close()


async def test_a_loop_that_returns_counts_as_ended():
    ended = asyncio.Event()

    async def loop() -> None:
        return

    loops = BackgroundLoops(lambda _name, _problem: ended.set(), first_pause_s=60)
    loops.start("returns", loop)
    async with asyncio.timeout(20):
        await ended.wait()
    assert loops.down == {"returns": "it returned"}
    await loops.close()
