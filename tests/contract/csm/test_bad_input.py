"""Requests that a served CSM refuses."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from oviya.errors import InvalidInput
from oviya.status import error_from_rpc
from oviya.v1 import csm_pb2
from tests.support.csm_calls import HELLO, context, request, speak


@pytest.mark.parametrize(
    ("changes", "field", "value", "limit"),
    [
        ({"text": ""}, "text", "", "1 to 8192"),
        ({"text": "…?!"}, "text", "…?!", "letter or a digit"),
        ({"text": "a" * 1_000_000}, "text", "aaa", "has 1000000"),
        ({"text": "word " * 10_000}, "text", "word", "has 50000"),
        ({"text": "7" * 8000}, "text", "frames", "9000"),
        ({"speaker": 65_536}, "speaker", "65536", "65535"),
        ({"style": "calmly"}, "style", "calmly", "calm, playful"),
        ({"max_frames": 9001}, "max_frames", "9001", "9000"),
        ({"lead": Duration(seconds=-1)}, "lead", "-1", "0"),
        ({"request_id": "x" * 129}, "request_id", "xxx", "128"),
        ({"sampling": csm_pb2.Sampling(temperature=2.5)}, "sampling.temperature", "2.5", "0 to 2"),
        ({"sampling": csm_pb2.Sampling(temperature=float("inf"))}, "sampling.temperature", "inf", "0 to 2"),
        ({"sampling": csm_pb2.Sampling(top_k=0)}, "sampling.top_k", "0", "1 to 512"),
        ({"sampling": csm_pb2.Sampling(top_k=513)}, "sampling.top_k", "513", "1 to 512"),
        ({"context": [context([0] * 7 + [512])]}, "context[0].audio.codes[7]", "512", "511"),
        ({"context": [context([1] * 32, codebooks=32)]}, "context[0].audio.codebooks", "32", "8"),
        ({"context": [context([1] * 8, codebooks=0)]}, "context[0].audio.codebooks", "0", "8"),
        ({"context": [context([1] * 9)]}, "context[0].audio.codes", "9", "whole frames"),
        ({"context": [context([1] * 8 * 3000)]}, "context[0].audio.codes", "3000", "2048"),
        ({"context": [context([1] * 8 * 700, reference=True)] * 3}, "context", "positions", "2048"),
        ({"context": [context([1] * 8), context([1] * 8, reference=True)]}, "context[1].reference", "True", "before"),
        ({"context": [context([1] * 8)] * 65}, "context", "65", "64"),
        ({"context": [csm_pb2.ContextSegment()]}, "context[0]", "", "text or audio"),
    ],
)
async def test_bad_input_is_named_exactly_and_the_next_call_works(stub, changes, field, value, limit):
    with pytest.raises(aio.AioRpcError) as failure:
        await speak(stub, request(**changes))
    error = error_from_rpc(failure.value, "csm")
    assert isinstance(error, InvalidInput)
    assert error.field == field
    assert value in error.value
    assert limit in error.limit
    assert len(str(error)) < 500, "a megabyte of text must not come back"
    frames, _ = await speak(stub, request(max_frames=1))
    assert len(frames) == 1


async def test_an_unknown_style_gets_the_nearest_names(stub):
    with pytest.raises(aio.AioRpcError) as failure:
        await speak(stub, request(style="playfull"))
    error = error_from_rpc(failure.value, "csm")
    assert isinstance(error, InvalidInput)
    assert error.suggestions == ("playful",)


async def test_a_message_beyond_the_limit_is_refused_and_the_next_call_works(stub):
    with pytest.raises(aio.AioRpcError) as failure:
        await speak(stub, request(text="a" * (5 << 20)))
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await speak(stub, HELLO)
