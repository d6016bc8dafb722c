"""The CSM service over a real port."""

from __future__ import annotations

import numpy as np

from oviya.rvq import pack_frames
from oviya.v1 import csm_pb2
from tests.support.csm_calls import HELLO, context, request, speak


async def test_a_text_becomes_frames_and_an_end(stub):
    frames, end = await speak(stub, HELLO)
    assert frames.shape == (6, 8)
    assert (end.reason, end.frames, end.seed) == (csm_pb2.FINISH_REASON_LENGTH, 6, 3)
    assert end.prompt_positions == 1 + len("[0]Hello you.") + 1
    again, _ = await speak(stub, HELLO)
    np.testing.assert_array_equal(frames, again)


async def test_context_speaker_and_style_shape_the_speech(stub):
    plain, _ = await speak(stub, HELLO)
    codes = np.random.default_rng(0).integers(0, 512, (20, 8))
    segment = csm_pb2.ContextSegment(speaker=1, text="Before.", audio=pack_frames(codes))
    variants = [{"context": [segment]}, {"speaker": 7}, {"style": "calm"}, {"text": "Hello, you."}]
    for changes in variants:
        other, _ = await speak(stub, request(**changes))
        assert (other != plain).any(), changes
    _, end = await speak(stub, request(context=[segment, csm_pb2.ContextSegment(text="Words only.")]))
    texts = ("[1]Before.", "[0]Words only.", "[0]Hello you.")
    assert end.prompt_positions == sum(len(text) + 2 for text in texts) + 20 + 1


async def test_the_end_reports_dropped_turns_and_cached_positions(stub):
    clip = context([1] * 8 * 90, reference=True)
    turns = [csm_pb2.ContextSegment(text=f"Turn {i}.") for i in range(7)]
    asked = request(context=[clip, *turns])
    frames, end = await speak(stub, asked)
    assert (end.dropped_segments, end.cached_positions, end.pieces) == (2, 0, 1)
    kept, end = await speak(stub, request(context=[clip, *turns[2:]]))
    assert (end.dropped_segments, end.cached_positions) == (0, 128)
    np.testing.assert_array_equal(frames, kept)


async def test_a_runaway_answer_is_reported(stub):
    _, end = await speak(stub, request(text="Hi.", max_frames=0))
    assert end.reason == csm_pb2.FINISH_REASON_RUNAWAY


async def test_get_model_describes_the_card(stub, served):
    model = await stub.GetModel(csm_pb2.CsmServiceGetModelRequest())
    assert (model.model.name, model.model.backend, model.model.trained) == ("random-csm", "oviya-csm", False)
    assert (model.model.device, model.model.dtype, model.model.license) == ("cpu", "float32", "Apache-2.0")
    assert model.model.parameters == served.service.engine.checkpoint.model.parameter_count() > 0
    assert (model.codebooks, model.codebook_size, model.max_positions) == (8, 512, 2048)
    assert list(model.styles) == ["calm", "playful"]
    assert model.slots == 2
