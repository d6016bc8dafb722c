"""The engine: admission, streams, pacing, ends and limits."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from oviya.errors import Busy, InvalidInput, NotReady, OviyaError
from services.csm import metrics
from services.csm.checkpoint import load_checkpoint
from services.csm.engine.engine import CsmEngine, EngineOptions
from services.csm.engine.prefill_budget import MIN_POSITIONS
from services.csm.model.config import FRAME_S
from services.csm.request.limits import Limits, expected_frames, runaway_frames
from services.csm.request.prompt import Segment
from services.csm.request.request import FinishReason, GenerateRequest
from tests.support.checkpoints.csm import favour_end, write_checkpoint
from tests.support.csm_engine import HELLO, speak


@pytest.fixture(scope="module")
def shared_engine(checkpoint):
    engine = CsmEngine(checkpoint, EngineOptions(slots=2, prefill_chunk=32))
    yield engine
    engine.close()


@pytest.fixture
def engine(shared_engine):
    """The engine that the module's tests share; each must leave it empty."""
    yield shared_engine
    assert (shared_engine.slots_used, shared_engine.pages_used, shared_engine.queued) == (0, 0, 0)


def context_of(frames: int, *, codebooks: int = 8, reference: bool = False) -> tuple[Segment, ...]:
    return (Segment(0, "Before.", np.ones((frames, codebooks), np.int64), reference),)


async def test_frames_come_one_by_one_up_to_the_limit(engine):
    async with engine.generate(replace(HELLO, max_frames=7)) as stream:
        shapes = [codes.shape async for codes in stream]
    assert shapes == [(1, 8)] * 7
    assert stream.end is not None
    assert (stream.end.reason, stream.end.frames, stream.end.seed) == (FinishReason.LENGTH, 7, 1)
    assert stream.end.prompt_positions == len(engine.checkpoint.tokenizer.encode_segment(HELLO.text, 0))
    assert engine.slots_used == 0


async def test_requests_together_equal_requests_alone(engine):
    requests = [
        replace(HELLO, text=f"Sentence {i}.", seed=i, max_frames=10, context=context_of(60 * i)) for i in (1, 2)
    ]
    alone = [(await speak(engine, request))[0] for request in requests]
    together = await asyncio.gather(*(speak(engine, request) for request in requests))
    for expected, (frames, _) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(frames, expected)


async def test_a_random_seed_is_reported_and_repeats_the_speech(engine):
    request = replace(HELLO, seed=None, max_frames=4)
    (first, end), (second, other) = await speak(engine, request), await speak(engine, request)
    assert end.seed != other.seed
    assert (first != second).any()
    again, _ = await speak(engine, replace(request, seed=end.seed))
    np.testing.assert_array_equal(again, first)


async def test_the_end_frame_ends_a_generation_and_is_not_part_of_it(tmp_path):
    folder = write_checkpoint(tmp_path / "ending", codebooks=4)
    favour_end(folder, 8.0)  # its greedy speech ends, as transformers' does: see test_csm_model
    engine = CsmEngine(load_checkpoint(folder), EngineOptions(slots=1))
    frames, end = await speak(engine, GenerateRequest("Hello you.", temperature=0, lead_s=0))
    engine.close()
    assert end.reason is FinishReason.END_FRAME
    assert 1 <= end.frames == len(frames) < runaway_frames("Hello you.")
    assert frames.any(axis=1).all()


async def test_text_length_limits_a_voice_that_never_ends(engine):
    _, end = await speak(engine, HELLO)
    assert (end.reason, end.frames) == (FinishReason.RUNAWAY, runaway_frames(HELLO.text))


def test_length_limits_grow_with_what_is_spoken():
    assert expected_frames("one hundred letters " * 5) == round(100 / 14 / FRAME_S)
    assert runaway_frames("Hi.") * FRAME_S >= 2
    assert runaway_frames("1234567890") > runaway_frames("abcdefghij")
    assert runaway_frames("こんにちは") > runaway_frames("hello")
    for text in ("a", "Hello there.", "x" * 8000):
        assert expected_frames(text) < runaway_frames(text)


async def test_a_full_engine_refuses_at_once_and_takes_the_next_when_free(engine):
    streams = [engine.generate(replace(HELLO, lead_s=0.01)) for _ in range(2)]
    with pytest.raises(Busy) as refusal:
        engine.generate(HELLO)
    assert 0 < refusal.value.retry_after_s <= 5
    streams[0].close()
    frames, _ = await speak(engine, replace(HELLO, max_frames=3))
    assert len(frames) == 3
    streams[1].close()
    assert engine.slots_used == 0
    streams[1].close()  # twice does no harm


async def test_leaving_early_frees_the_slot_and_stops_the_work(engine):
    for _ in range(20):
        async with engine.generate(replace(HELLO, context=context_of(30))) as stream:
            await anext(stream)
        assert engine.slots_used == 0
    made = stream.sequence.frames
    await speak(engine, replace(HELLO, max_frames=5))
    assert stream.sequence.frames <= made + 1, "a cancelled request must not go on"


async def test_cancelling_during_a_long_prefill_frees_the_slot(engine):
    expected, _ = await speak(engine, replace(HELLO, max_frames=3))
    for _ in range(4):
        engine.generate(replace(HELLO, context=context_of(900))).close()
    frames, _ = await speak(engine, replace(HELLO, max_frames=3))
    np.testing.assert_array_equal(frames, expected)


async def test_frames_keep_at_most_the_lead_ahead_of_real_time(engine):
    lead_s, arrivals = 0.24, []
    async with engine.generate(replace(HELLO, max_frames=10, lead_s=lead_s)) as stream:
        async for _ in stream:
            arrivals.append(time.monotonic())
    for index, arrival in enumerate(arrivals):
        # The clock starts when the first frame was made; on a busy machine, that is well before it arrived here.
        assert arrival - arrivals[0] >= index * FRAME_S - lead_s - 0.2


async def test_without_a_lead_nothing_waits(engine):
    """32 frames are 2.5 s of speech; a small checkpoint makes them in a fraction, unless it paces itself."""
    started = time.monotonic()
    await speak(engine, replace(HELLO, max_frames=32))
    assert time.monotonic() - started < 31 * FRAME_S


async def test_requests_without_a_lead_are_paced_by_the_options(checkpoint):
    engine = CsmEngine(checkpoint, EngineOptions(slots=1, lead_s=0.08))
    started = time.monotonic()
    await speak(engine, replace(HELLO, max_frames=6, lead_s=None))
    engine.close()
    assert time.monotonic() - started >= 5 * FRAME_S - 0.08


async def test_closing_ends_what_runs_and_admits_no_more(checkpoint):
    engine = CsmEngine(checkpoint, EngineOptions(slots=1))
    stream = engine.generate(replace(HELLO, lead_s=0.01))
    await anext(stream)
    engine.close()
    with pytest.raises(NotReady):
        async for _ in stream:
            pass
    with pytest.raises(NotReady):
        engine.generate(HELLO)
    assert not engine._thread._thread.is_alive()


async def test_a_step_that_breaks_ends_its_requests_and_no_others(engine, monkeypatch):
    expected, _ = await speak(engine, replace(HELLO, context=context_of(70), max_frames=2))
    for call in ("launch", "collect", "prefill", "begin"):
        with monkeypatch.context() as patch:
            patch.setattr(engine._device, call, lambda *arguments: 1 / 0)
            with pytest.raises(OviyaError, match="next frame"):
                await speak(engine, HELLO)
        assert engine.pages_used == 0
        frames, end = await speak(engine, replace(HELLO, context=context_of(70), max_frames=2))
        assert end.cached_positions == 0, "what the pages hold is not known after a failure"
        np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize("call", ["launch", "collect", "prefill", "begin"])
async def test_a_lost_device_closes_the_engine_and_calls_on_lost(checkpoint, monkeypatch, call):
    lost = threading.Event()
    engine = CsmEngine(checkpoint, EngineOptions(slots=1, queue_s=60), on_lost=lost.set)
    before = metrics.DEVICE_FAILURES.labels("lost")._value.get()

    def fail(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

    async with engine.generate(replace(HELLO, max_frames=1000)) as speaking:
        await anext(speaking)
        waiting = engine.generate(HELLO)
        closed = False

        def close():
            nonlocal closed
            closed = True

        monkeypatch.setattr(engine._thread, "_device_works", lambda: False)
        monkeypatch.setattr(engine._device, "close", close)  # would fail too
        monkeypatch.setattr(engine._device, call, fail)
        if call in ("prefill", "begin"):
            speaking.close()  # the one that waits gets its slot
        else:
            with pytest.raises(OviyaError, match="next frame"):
                async for _ in speaking:
                    pass
        with pytest.raises(OviyaError, match=r"next frame|lost its device"):
            async for _ in waiting:
                pass
    assert await asyncio.to_thread(lost.wait, 10)
    with pytest.raises(NotReady, match="lost its device"):
        engine.generate(HELLO)
    engine.close()
    assert not closed
    assert (engine.slots_used, engine.queued) == (0, 0)
    assert metrics.DEVICE_FAILURES.labels("lost")._value.get() == before + 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": "?! ... —"}, "text"),
        ({"text": "a" * 8193}, "text"),
        ({"text": "word " * 10_000}, "text"),
        ({"text": "7" * 8000}, "text"),  # within the characters, but an hour to say
        ({"speaker": -1}, "speaker"),
        ({"speaker": 65_536}, "speaker"),
        ({"temperature": -0.1}, "sampling.temperature"),
        ({"temperature": 2.1}, "sampling.temperature"),
        ({"temperature": float("nan")}, "sampling.temperature"),
        ({"top_k": 0}, "sampling.top_k"),
        ({"top_k": 513}, "sampling.top_k"),
        ({"seed": -1}, "sampling.seed"),
        ({"lead_s": -0.5}, "lead"),
        ({"lead_s": float("nan")}, "lead"),
        ({"max_frames": 9001}, "max_frames"),
        ({"max_frames": -1}, "max_frames"),
        ({"context": context_of(3, codebooks=32)}, "context[0].audio.codebooks"),
        ({"context": (Segment(0, "x", np.full((2, 8), 512)),)}, "context[0].audio.codes"),
        ({"context": (Segment(0, "x", np.full((2, 8), -1)),)}, "context[0].audio.codes"),
        ({"context": (Segment(0, "x"), Segment(0, ""))}, "context[1]"),
        ({"context": (Segment(70_000, "x"),)}, "context[0].speaker"),
        ({"context": (Segment(0, "x" * 9000),)}, "context[0].text"),
        ({"context": (Segment(0, "x"),) * 65}, "context"),
        ({"context": context_of(2040, reference=True)}, "context"),
        ({"context": context_of(9) + context_of(9, reference=True)}, "context[1].reference"),
    ],
)
async def test_bad_input_names_its_field_and_the_next_request_works(engine, changes, field):
    with pytest.raises(InvalidInput) as refusal:
        engine.generate(replace(HELLO, **changes))
    assert refusal.value.field == field
    assert refusal.value.limit
    assert engine.slots_used == 0
    frames, _ = await speak(engine, replace(HELLO, max_frames=1))
    assert len(frames) == 1


async def test_the_refusal_of_long_clips_gives_their_positions(engine):
    with pytest.raises(InvalidInput, match="2048 positions") as refusal:
        engine.generate(replace(HELLO, context=context_of(2030, reference=True)))
    assert refusal.value.value == "2043 positions of reference clips"


async def test_an_answer_stops_at_the_model_s_last_position(engine):
    request = replace(HELLO, text="Go.", context=context_of(2020, reference=True))
    _, end = await speak(engine, request)
    assert end.prompt_positions + end.frames == engine.config.max_positions + 1
    assert end.frames < runaway_frames("Go.")
    assert end.reason is FinishReason.LENGTH


async def test_styles_are_those_of_the_card(engine, tmp_path):
    plain, _ = await speak(engine, replace(HELLO, max_frames=3))
    calm, _ = await speak(engine, replace(HELLO, max_frames=3, style="calm"))
    assert (plain != calm).any()
    with pytest.raises(InvalidInput) as refusal:
        engine.generate(replace(HELLO, style="Playfull"))
    assert refusal.value.suggestions == ("playful",)
    unstyled = CsmEngine(load_checkpoint(write_checkpoint(tmp_path / "plain")), EngineOptions(slots=1))
    with pytest.raises(InvalidInput, match="no style tokens"):
        unstyled.generate(replace(HELLO, style="calm"))
    unstyled.close()


async def test_limits_are_options(checkpoint):
    engine = CsmEngine(checkpoint, EngineOptions(slots=1, limits=Limits(text_chars=5, context_segments=0, frames=3)))
    for changes, field in (({"text": "Hello!"}, "text"), ({"text": "Hi", "context": context_of(1)}, "context")):
        with pytest.raises(InvalidInput) as refusal:
            engine.generate(replace(HELLO, **changes))
        assert refusal.value.field == field
    _, end = await speak(engine, replace(HELLO, text="Hi"))
    engine.close()
    assert (end.frames, end.reason) == (3, FinishReason.LENGTH)


async def test_prompts_give_way_where_frames_take_long(checkpoint, monkeypatch):
    engine = CsmEngine(checkpoint, EngineOptions(slots=2, prefill_chunk=1000))
    monkeypatch.setattr(engine._device, "prefill_s", 10.0)  # far over the budget, whatever the host takes
    chunks: list[int] = []
    prefill = engine._device.prefill

    def note(asked):
        chunks.append(sum(chunk.stop - chunk.start for chunk in asked))
        prefill(asked)

    monkeypatch.setattr(engine._device, "prefill", note)
    try:
        async with engine.generate(replace(HELLO, max_frames=200)) as speaking:
            await anext(speaking)
            chunks.clear()
            await speak(engine, replace(HELLO, seed=2, max_frames=1, context=context_of(700)))
        assert max(chunks) == MIN_POSITIONS
        assert len(chunks) >= 3
    finally:
        engine.close()
