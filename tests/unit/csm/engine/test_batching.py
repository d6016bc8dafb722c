"""Requests that run together: each gets the frames that it gets alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np

from tests.support.csm_engine import HELLO, alone, clip, close, make, take


async def test_every_stream_equals_itself_alone_under_random_joins_leaves_and_cancels(checkpoint):
    rng = np.random.default_rng(7)
    contexts = [(), (clip(70, 1),), (clip(70, 1), clip(30, 2)), (clip(130, 3),)]
    requests = [
        replace(
            HELLO,
            text=f"Sentence {i % 5}.",
            context=contexts[i % 4],
            seed=i,
            temperature=(0.9, 0.0, 1.4)[i % 3],
            top_k=(50, 5, 512)[i % 3],
            max_frames=int(rng.integers(2, 16)),
            lead_s=(0.0, 10.0)[i % 2],
        )
        for i in range(24)
    ]
    leaves = {i: int(rng.integers(0, request.max_frames)) for i, request in enumerate(requests) if i % 3 == 2}
    engine = make(checkpoint, slots=5, prefill_chunk=48, queue_s=60, kv_mib=24)

    async def run(index: int) -> np.ndarray:
        await asyncio.sleep(float(rng.uniform(0, 0.3)))
        async with engine.generate(requests[index]) as stream:
            if index in leaves:
                return await take(stream, leaves[index]) if leaves[index] else np.empty((0, 8), np.int64)
            frames = [codes async for codes in stream]
        assert stream.end is not None
        return np.concatenate(frames)

    made = await asyncio.gather(*map(run, range(len(requests))))
    close(engine)
    for index, frames in enumerate(made):
        expected = alone(checkpoint, requests[index], requests[index].max_frames)
        assert len(frames) == leaves.get(index, requests[index].max_frames)
        np.testing.assert_array_equal(frames, expected[: len(frames)])


async def test_new_prompts_delay_a_running_stream_by_at_most_a_chunk(checkpoint):
    """Between two frames of a running stream at most `prefill_chunk` positions of others are run."""
    engine = make(checkpoint, slots=4, prefill_chunk=32)
    calls: list[int] = []
    device = engine._device
    prefill, launch = device.prefill, device.launch
    device.prefill = lambda chunks: (calls.append(sum(c.stop - c.start for c in chunks)), prefill(chunks))[1]
    device.launch = lambda rows: (calls.append(-len(rows)), launch(rows))[1]
    async with engine.generate(HELLO) as running:
        await take(running, 2)
        others = [engine.generate(replace(HELLO, context=(clip(200, i),), max_frames=1)) for i in range(3)]
        for other in others:
            await take(other, 1)
            other.close()
    close(engine)
    fed = 0
    for call in calls:
        fed = 0 if call < 0 else fed + call
        assert fed <= 32
    assert sum(call == 32 for call in calls) >= 3 * 200 // 32 - 3
    assert min(calls) <= -2, "newcomers joined the running stream's frames"


async def test_several_new_requests_share_a_prefill(checkpoint):
    engine = make(checkpoint, slots=4, prefill_chunk=500)
    together: list[int] = []
    prefill = engine._device.prefill
    engine._device.prefill = lambda chunks: (together.append(len(chunks)), prefill(chunks))[1]
    with engine._wake:  # the engine sees all of them at once
        streams = [engine.generate(replace(HELLO, seed=i, max_frames=2)) for i in range(4)]
    made = [await take(stream, 2) for stream in streams]
    for stream in streams:
        stream.close()
    close(engine)
    assert max(together) == 4
    for i, frames in enumerate(made):
        np.testing.assert_array_equal(frames, alone(checkpoint, replace(HELLO, seed=i), 2))
