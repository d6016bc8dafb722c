"""The engine under load: joins, leaves, cancels, queues, prefixes; every stream as if it were alone."""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from oviya.errors import Busy, NotReady
from services.csm.checkpoint import load_checkpoint
from services.csm.device.contract import DeviceOptions, Sampling
from services.csm.device.make import make_device
from services.csm.engine.engine import CsmEngine, EngineOptions
from services.csm.engine.stream import FrameStream
from services.csm.request.prompt import Segment, build_prompt
from services.csm.request.request import FinishReason, GenerateRequest, GenerationEnd
from tests.support.checkpoints.csm import frames_alone, write_checkpoint
from tests.support.metrics import metric

HELLO = GenerateRequest("Hello you.", seed=1, lead_s=0)

TINY = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "vocab_size": 35,
}
"""As small as a CSM can be, where only the engine's own work is of interest."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return load_checkpoint(write_checkpoint(tmp_path_factory.mktemp("csm") / "small"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    depth = {
        "model_type": "csm_depth_decoder_model", "num_codebooks": 2, "vocab_size": 35, "backbone_hidden_size": 16,
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1,
        "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 33,
    }  # fmt: skip
    codec = {"model_type": "mimi", "codebook_size": 32, "num_quantizers": 2}
    folder = tmp_path_factory.mktemp("csm") / "tiny"
    fields: dict[str, Any] = {**TINY, "depth_decoder_config": depth, "codec_config": codec}
    return load_checkpoint(write_checkpoint(folder, codebooks=2, **fields))


def make(checkpoint, **options) -> CsmEngine:
    return CsmEngine(checkpoint, EngineOptions(**options))


def close(engine: CsmEngine) -> None:
    """Closes an engine that has nothing to do, and that must hold nothing."""
    held = (engine.slots_used, engine.pages_used, engine.queued)
    engine.close()
    assert held == (0, 0, 0)


async def speak(engine: CsmEngine, request: GenerateRequest) -> tuple[np.ndarray, GenerationEnd]:
    async with engine.generate(request) as stream:
        frames = [codes async for codes in stream]
    assert stream.end is not None
    return np.concatenate([np.empty((0, engine.config.codebooks), np.int64), *frames]), stream.end


async def take(stream: FrameStream, frames: int) -> np.ndarray:
    return np.concatenate([await anext(stream) for _ in range(frames)])


def clip(frames: int, seed: int = 0, *, reference: bool = False) -> Segment:
    codes = np.random.default_rng(seed).integers(1, 512, (frames, 8))
    return Segment(0, "Before.", codes, reference)


def alone(checkpoint, request: GenerateRequest, frames: int) -> np.ndarray:
    """The frames that the request's seed gives without an engine."""
    config = checkpoint.config
    prompt = build_prompt(
        checkpoint.tokenizer, config.codebooks, text=request.text, speaker=request.speaker, context=request.context
    )
    assert request.seed is not None
    sampling = Sampling(
        0.9 if request.temperature is None else request.temperature,
        request.top_k or min(50, config.codebook_size),
        request.seed,
    )
    return frames_alone(checkpoint, prompt, sampling, frames)


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


async def test_a_cached_prefix_gives_the_frames_of_one_that_is_run(checkpoint):
    engine = make(checkpoint, slots=2)
    request = replace(HELLO, context=(clip(150, reference=True),), max_frames=12)
    first, cold = await speak(engine, request)
    again, warm = await speak(engine, request)
    close(engine)
    assert (cold.cached_positions, warm.cached_positions) == (0, 128)
    np.testing.assert_array_equal(first, alone(checkpoint, request, 12))
    np.testing.assert_array_equal(again, first)


async def test_turns_of_a_conversation_run_only_what_is_new(checkpoint):
    """The next turn's context holds this turn's text and frames, which the steps have put into the pages."""
    engine = make(checkpoint, slots=2)
    context, missed = (clip(90, reference=True),), []
    for turn in range(4):
        request = replace(HELLO, text=f"Turn number {turn}.", context=context, seed=turn, max_frames=40)
        frames, end = await speak(engine, request)
        np.testing.assert_array_equal(frames, alone(checkpoint, request, 40))
        missed.append(end.prompt_positions - end.cached_positions)
        context += (Segment(0, request.text, frames),)
    close(engine)
    assert missed[0] > 100
    # What is left: a page that was not full, the last frame, the end frame and the new text.
    assert all(positions < 64 + 2 + len("Turn number 0.") + 5 for positions in missed[1:]), missed


async def test_what_was_heard_before_a_barge_in_is_cached_too(checkpoint):
    engine = make(checkpoint, slots=1)
    text = "x" * 60
    async with engine.generate(replace(HELLO, text=text, max_frames=100)) as stream:
        heard = await take(stream, 80)
    request = replace(HELLO, text="Go on.", context=(Segment(0, text, heard),), max_frames=5)
    frames, end = await speak(engine, request)
    close(engine)
    assert end.cached_positions == 128, "65 positions of text and 79 of frames fill two pages"
    np.testing.assert_array_equal(frames, alone(checkpoint, request, 5))


async def test_a_newcomer_s_prompt_does_not_stall_who_speaks_by_more_than_a_chunk(checkpoint):
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


async def test_several_newcomers_share_a_prefill(checkpoint):
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


async def test_memory_bounds_who_runs_and_a_full_one_says_so(checkpoint):
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


async def test_the_queue_is_first_come_first_served_and_gives_up_in_time(checkpoint):
    engine = make(checkpoint, slots=1, queue_s=0.4, queue_length=3)
    holder = engine.generate(replace(HELLO, lead_s=0.01))
    await take(holder, 1)
    waiting = [engine.generate(replace(HELLO, seed=i, max_frames=3)) for i in range(3)]
    with pytest.raises(Busy):
        engine.generate(HELLO)
    waiting[1].close()  # leaves the queue
    assert engine.queued == 2
    late = engine.generate(replace(HELLO, seed=9, max_frames=3))
    asked_at = time.monotonic()
    holder.close()
    order: list[int] = []

    async def read(index: int, stream: FrameStream) -> None:
        await anext(stream)
        order.append(index)
        async for _ in stream:
            pass

    await asyncio.gather(*(read(i, stream) for i, stream in ((9, late), (2, waiting[2]), (0, waiting[0]))))
    assert order == [0, 2, 9]
    holder = engine.generate(replace(HELLO, lead_s=0.01))
    asked_at = time.monotonic()
    with pytest.raises(Busy):
        await anext(engine.generate(HELLO))
    assert 0.35 <= time.monotonic() - asked_at < 5
    holder.close()
    close(engine)


async def test_who_waits_is_refused_in_time_while_frames_never_pause(checkpoint):
    engine = make(checkpoint, slots=1, queue_s=0.1)
    async with engine.generate(replace(HELLO, text="An answer without a pause. " * 20)) as running:
        await take(running, 1)
        with pytest.raises(Busy):
            await anext(engine.generate(HELLO))
        assert engine.slots_used == 1, "it was refused while the other spoke"
    close(engine)


async def test_closing_refuses_who_waits(checkpoint):
    engine = make(checkpoint, slots=1, queue_s=60)
    running = engine.generate(replace(HELLO, lead_s=0.01))
    waiting = engine.generate(HELLO)
    await take(running, 1)
    engine.close()
    with pytest.raises(NotReady):
        await anext(waiting)
    assert (engine.slots_used, engine.pages_used, engine.queued) == (0, 0, 0)


async def test_a_long_text_is_spoken_in_pieces_within_one_call(tiny):
    engine = make(tiny, slots=2)
    request = replace(HELLO, text="This is one sentence of it. " * 6)
    frames, end = await speak(engine, request)
    again, _ = await speak(engine, request)
    close(engine)
    assert end.pieces >= 3
    assert end.frames == len(frames) > 6 * 25
    np.testing.assert_array_equal(frames, again)


async def test_a_long_text_waits_for_pages_that_others_still_share(tiny):
    """Its next piece drops the turn that another request shares with it, so what it gives back is not all free."""
    turn = Segment(0, "Before.", np.random.default_rng(0).integers(1, 32, (125, 2)))
    request = replace(HELLO, text="This is one sentence of it. " * 6, context=(turn,))
    engine = make(tiny, slots=3)
    expected, end = await speak(engine, request)
    close(engine)
    assert end.pieces >= 3
    assert end.dropped_segments == 1

    options = EngineOptions(slots=3)
    engine = CsmEngine(tiny, options, device=make_device(tiny, DeviceOptions(3, 6)))
    waits = metric("csm_page_waits_total")
    holder = engine.generate(replace(HELLO, context=(turn,), max_frames=100, lead_s=0.01))
    await take(holder, 1)
    made = asyncio.create_task(speak(engine, request))
    async with asyncio.timeout(30):
        while metric("csm_page_waits_total") == waits:
            await asyncio.sleep(0.005)
    with pytest.raises(Busy):  # whoever waits in the middle of a text goes first
        engine.generate(HELLO)
    assert engine.slots_used == 2
    holder.close()
    frames, end = await made
    close(engine)
    np.testing.assert_array_equal(frames, expected)


async def test_a_text_that_waits_for_pages_can_be_cancelled(tiny):
    turn = Segment(0, "Before.", np.random.default_rng(0).integers(1, 32, (125, 2)))
    engine = CsmEngine(tiny, EngineOptions(slots=3), device=make_device(tiny, DeviceOptions(3, 6)))
    waits = metric("csm_page_waits_total")
    holder = engine.generate(replace(HELLO, context=(turn,), max_frames=100, lead_s=0.01))
    await take(holder, 1)
    waiting = engine.generate(replace(HELLO, text="This is one sentence of it. " * 6, context=(turn,)))
    async with asyncio.timeout(30):
        while metric("csm_page_waits_total") == waits:
            await asyncio.sleep(0.005)
    waiting.close()
    assert engine.slots_used == 1
    await take(holder, 1)
    holder.close()
    close(engine)


async def test_dropped_turns_are_reported(checkpoint):
    engine = make(checkpoint, slots=1)
    turns = tuple(clip(3, i) for i in range(8))
    request = replace(HELLO, context=(clip(5, 99, reference=True), *turns), max_frames=4)
    frames, end = await speak(engine, request)
    assert end.dropped_segments == 3
    kept, _ = await speak(engine, replace(request, context=(request.context[0], *turns[3:])))
    close(engine)
    np.testing.assert_array_equal(frames, kept)


async def test_an_answer_that_falls_silent_is_stopped(checkpoint, monkeypatch):
    engine = make(checkpoint, slots=2, silence_s=0.8)
    collect = engine._device.collect

    def silent() -> np.ndarray:
        codes = collect()
        codes[:, 0] = 7
        return codes

    monkeypatch.setattr(engine._device, "collect", silent)
    frames, end = await speak(engine, replace(HELLO, text="A text that takes far longer than that to say."))
    close(engine)
    assert (end.reason, len(frames)) == (FinishReason.SILENCE, 10)


def living_streams() -> list[FrameStream]:
    """Streams that somebody still holds; other tests' failures may hold some."""
    gc.collect()
    return [item for item in gc.get_objects() if type(item) is FrameStream]


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
