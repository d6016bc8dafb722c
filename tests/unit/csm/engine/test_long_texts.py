"""Texts of several pieces, dropped turns and silence."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from oviya.errors import Busy
from services.csm.device.contract import DeviceOptions
from services.csm.device.make import make_device
from services.csm.engine.engine import CsmEngine, EngineOptions
from services.csm.request.limits import Limits
from services.csm.request.prompt import Segment
from services.csm.request.request import FinishReason
from tests.support.csm_engine import HELLO, clip, close, make, speak, take
from tests.support.metrics import metric


async def test_a_long_text_is_generated_in_pieces_within_one_call(tiny):
    engine = make(tiny, slots=2)
    request = replace(HELLO, text="This is one sentence of it. " * 6)
    frames, end = await speak(engine, request)
    again, _ = await speak(engine, request)
    close(engine)
    assert end.pieces >= 3
    assert end.frames == len(frames) > 6 * 25
    np.testing.assert_array_equal(frames, again)


@pytest.fixture
def slow_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paces one frame in 2 s: a paced request then holds its pages for the whole test, however busy the machine is."""
    monkeypatch.setattr("services.csm.engine.rows.FRAME_S", 2.0)


@pytest.mark.usefixtures("slow_pace")
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


@pytest.mark.usefixtures("slow_pace")
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
    engine = make(checkpoint, slots=1, limits=Limits(context_turns=5))
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
