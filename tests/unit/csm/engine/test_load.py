"""Thousands of short requests leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

import numpy as np
import pytest

from services.csm.engine.stream import FrameStream
from services.csm.request.prompt import Segment
from services.csm.request.request import FinishReason
from tests.support.csm_engine import HELLO, alone, close, make, speak


def living_streams() -> list[FrameStream]:
    """Streams that somebody still holds; other tests' failures may hold some."""
    gc.collect()
    return [item for item in gc.get_objects() if type(item) is FrameStream]


@pytest.mark.slow
async def test_ten_thousand_short_requests_leave_nothing_behind(tiny):
    """Cancels at random, in the queue, prefill or speech; slots, pages, tasks and streams are all given back."""
    engine = make(tiny, slots=64, kv_mib=0, queue_s=60, queue_length=10_000, prefill_chunk=512)
    rng = np.random.default_rng(0)
    contexts = [(), *((Segment(0, "Before.", rng.integers(1, 32, (n, 2))),) for n in (5, 70, 70, 130))]
    tasks, streams = len(asyncio.all_tasks()), len(living_streams())
    outcomes = {"whole": 0, "left": 0, "unread": 0, "cancelled": 0}

    async def one(index: int) -> None:
        request = replace(
            HELLO, text=f"Hi {index % 7}.", context=contexts[index % 5], seed=index, max_frames=1 + index % 3
        )
        match index % 4:
            case 0 | 1:
                frames, end = await speak(engine, request)
                assert len(frames) == request.max_frames or end.reason is FinishReason.END_FRAME
                outcomes["whole"] += 1
            case 2:
                async with engine.generate(request) as stream:
                    async for _ in stream:
                        break
                outcomes["left"] += 1
            case _:
                engine.generate(request).close()
                outcomes["unread"] += 1

    async def worker(indices: range) -> None:
        for index in indices:
            task = asyncio.create_task(one(index))
            if rng.random() < 0.3:
                await asyncio.sleep(rng.exponential(0.05))  # waiting, in its prefill, speaking, or done
                task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                outcomes["cancelled"] += 1

    await asyncio.gather(*(worker(range(start, 10_000, 100)) for start in range(100)))
    assert sum(outcomes.values()) == 10_000
    assert min(outcomes.values()) > 100, outcomes
    assert len(asyncio.all_tasks()) == tasks
    scheduler = engine._scheduler
    assert (engine.slots_used, engine.pages_used, engine.queued) == (0, 0, 0)
    assert not scheduler.has_prefills
    assert sorted(scheduler._free_rows) == list(range(64))
    pool = scheduler.pool
    assert len(pool._free) + pool.cached == pool.pages
    assert len(living_streams()) == streams
    request = replace(HELLO, context=contexts[2], max_frames=3)
    frames, _ = await speak(engine, request)
    close(engine)
    np.testing.assert_array_equal(frames, alone(tiny, request, 3)[: len(frames)])
