"""Prompts that begin like an earlier one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.csm.request.prompt import Segment
from tests.support.csm_engine import HELLO, alone, clip, close, make, speak, take


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


async def test_frames_before_a_barge_in_are_cached(checkpoint):
    engine = make(checkpoint, slots=1)
    text = "x" * 60
    async with engine.generate(replace(HELLO, text=text, max_frames=100)) as stream:
        heard = await take(stream, 80)
    request = replace(HELLO, text="Go on.", context=(Segment(0, text, heard),), max_frames=5)
    frames, end = await speak(engine, request)
    close(engine)
    assert end.cached_positions == 128, "65 positions of text and 79 of frames fill two pages"
    np.testing.assert_array_equal(frames, alone(checkpoint, request, 5))
