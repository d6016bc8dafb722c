"""Slots, pages and the queue."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from oviya.errors import Busy, NotReady
from services.csm.engine.stream import FrameStream
from tests.support.csm_engine import HELLO, clip, close, make, take


async def test_requests_are_refused_once_pages_run_out(checkpoint):
    """Pages run out before slots do."""
    engine = make(checkpoint, slots=8, kv_mib=8)  # 32 pages, one full context
    long = replace(HELLO, context=(clip(900, reference=True),), max_frames=100, lead_s=0.01)
    engine.generate(long)
    with pytest.raises(Busy, match="pages") as refusal:
        engine.generate(replace(long, context=(clip(1100, 1, reference=True),)))
    assert 0.1 <= refusal.value.retry_after_s <= 5
    async with engine.generate(replace(HELLO, max_frames=2)) as small:
        await take(small, 2)
    assert engine.pages_used >= 900 // 64
    engine.close()


async def test_the_queue_is_first_come_first_served(checkpoint):
    engine = make(checkpoint, slots=1, queue_s=30, queue_length=3)
    holder = engine.generate(replace(HELLO, lead_s=0.01))
    await take(holder, 1)
    waiting = [engine.generate(replace(HELLO, seed=i, max_frames=3)) for i in range(3)]
    with pytest.raises(Busy):
        engine.generate(HELLO)
    waiting[1].close()  # leaves the queue
    assert engine.queued == 2
    late = engine.generate(replace(HELLO, seed=9, max_frames=3))
    holder.close()
    order: list[int] = []

    async def read(index: int, stream: FrameStream) -> None:
        await anext(stream)
        order.append(index)
        async for _ in stream:
            pass

    await asyncio.gather(*(read(i, stream) for i, stream in ((9, late), (2, waiting[2]), (0, waiting[0]))))
    assert order == [0, 2, 9]
    close(engine)


async def test_a_request_leaves_the_queue_in_time(checkpoint):
    engine = make(checkpoint, slots=1, queue_s=0.4)
    holder = engine.generate(replace(HELLO, lead_s=0.01))
    await take(holder, 1)
    asked_at = time.monotonic()
    with pytest.raises(Busy):
        await anext(engine.generate(HELLO))
    assert 0.35 <= time.monotonic() - asked_at < 5
    holder.close()
    close(engine)


async def test_queued_requests_expire_while_frames_follow_without_a_pause(checkpoint):
    engine = make(checkpoint, slots=1, queue_s=0.1)
    async with engine.generate(replace(HELLO, text="An answer without a pause. " * 20)) as running:
        await take(running, 1)
        with pytest.raises(Busy):
            await anext(engine.generate(HELLO))
        assert engine.slots_used == 1, "it was refused while the other spoke"
    close(engine)


async def test_closing_fails_queued_requests(checkpoint):
    engine = make(checkpoint, slots=1, queue_s=60)
    running = engine.generate(replace(HELLO, lead_s=0.01))
    waiting = engine.generate(HELLO)
    await take(running, 1)
    engine.close()
    with pytest.raises(NotReady):
        await anext(waiting)
    assert (engine.slots_used, engine.pages_used, engine.queued) == (0, 0, 0)
