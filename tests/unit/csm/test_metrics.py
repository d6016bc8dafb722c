"""What the CSM engine measures, against what it did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from oviya.errors import Busy
from services.csm.checkpoint import load_checkpoint
from services.csm.engine.engine import CsmEngine, EngineOptions
from services.csm.request.limits import Limits
from services.csm.request.prompt import Segment
from services.csm.request.request import GenerateRequest
from tests.support.checkpoints.csm import write_checkpoint
from tests.support.metrics import metric

HELLO = GenerateRequest("Hello you.", seed=1, lead_s=0, max_frames=4)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return load_checkpoint(write_checkpoint(tmp_path_factory.mktemp("csm") / "small"))


@pytest.fixture
def engine(checkpoint):
    engine = CsmEngine(checkpoint, EngineOptions(slots=2, limits=Limits(context_turns=5)))
    yield engine
    engine.close()


class Change:
    """What became of some counters since it was made."""

    def __init__(self, *names: str) -> None:
        self._before = {name: metric(f"csm_{name}") for name in names}

    def __call__(self, name: str) -> float:
        return metric(f"csm_{name}") - self._before[name]


async def speak(engine: CsmEngine, request: GenerateRequest):
    async with engine.generate(request) as stream:
        async for _ in stream:
            pass
    assert stream.end is not None
    return stream.end


async def test_slots_and_pages_are_those_of_running_requests(engine):
    assert (metric("csm_slots"), metric("csm_kv_pages")) == (2, engine.pages)
    async with engine.generate(replace(HELLO, lead_s=0.01, max_frames=100)) as stream:
        await anext(stream)
        assert metric("csm_slots_used") == 1
        assert metric("csm_kv_pages_used") == engine.pages_used > 0
    assert (metric("csm_slots_used"), metric("csm_kv_pages_used")) == (0, 0)


async def test_a_request_is_timed_from_its_arrival_to_its_frames(engine):
    timed = ("queue_seconds", "prefill_seconds", "first_frame_seconds", "step_seconds")
    change = Change("frames_total", *(f"{name}_{part}" for name in timed for part in ("count", "sum")))
    await speak(engine, HELLO)
    assert change("frames_total") == 4
    assert [change(f"{name}_count") for name in timed] == [1, 1, 1, 4]
    assert 0 < change("prefill_seconds_sum") <= change("first_frame_seconds_sum") < 60
    assert 0 < change("step_seconds_sum") < 60


async def test_cached_positions_and_dropped_turns_are_counted(engine):
    clip = Segment(0, "Before.", np.random.default_rng(3).integers(1, 512, (150, 8)), True)
    request = replace(HELLO, context=(clip, *(Segment(0, f"Turn {i}.") for i in range(7))))
    change = Change("prompt_positions_total", "prefix_positions_total", "dropped_segments_total")
    ends = [await speak(engine, request) for _ in range(2)]
    assert change("prompt_positions_total") == sum(end.prompt_positions for end in ends)
    assert change("prefix_positions_total") == ends[1].cached_positions >= 128
    assert change("dropped_segments_total") == 4
    assert metric("csm_kv_pages_kept") >= 2


async def test_ends_are_counted_by_their_reason_and_runaways_for_themselves(engine):
    before = {reason: metric("csm_finished_total", reason=reason) for reason in ("length", "runaway", "cancelled")}
    change = Change("runaways_total")
    await speak(engine, HELLO)
    await speak(engine, replace(HELLO, text="Hi.", max_frames=0))
    engine.generate(HELLO).close()
    assert {reason: metric("csm_finished_total", reason=reason) - count for reason, count in before.items()} == {
        "length": 1, "runaway": 1, "cancelled": 1,
    }  # fmt: skip
    assert change("runaways_total") == 1


async def test_all_that_a_closing_engine_ends_is_counted(checkpoint):
    engine = CsmEngine(checkpoint, EngineOptions(slots=1, queue_s=60))
    before = metric("csm_finished_total", reason="failed")
    streams = [engine.generate(replace(HELLO, lead_s=0.01, max_frames=1000)) for _ in range(3)]
    await anext(streams[0])
    engine.close()
    assert metric("csm_finished_total", reason="failed") - before == len(streams)


async def test_refusals_are_counted_at_once_and_after_a_wait(checkpoint):
    engine = CsmEngine(checkpoint, EngineOptions(slots=1, queue_s=0.2, queue_length=1))
    change = Change("rejected_total")
    async with engine.generate(replace(HELLO, lead_s=0.01, max_frames=1000)) as speaking:
        await anext(speaking)
        waiting = engine.generate(HELLO)
        assert metric("csm_queued") == 1
        with pytest.raises(Busy):
            engine.generate(HELLO)
        assert change("rejected_total") == 1
        with pytest.raises(Busy):
            await anext(waiting)
    assert (change("rejected_total"), metric("csm_queued")) == (2, 0)
    engine.close()
