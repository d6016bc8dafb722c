"""Converse over a real port: bad input is refused by name and disturbs nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from oviya.audio.pcm import F32LE
from oviya.durations import seconds
from oviya.errors import InvalidInput, Timeout
from oviya.status import error_from_rpc
from oviya.v1 import common_pb2, conversation_pb2
from tests.support.exchange import exchange
from tests.support.gateway_mesh import failure_of, gateway_with, speech
from tests.support.scripted_services import ScriptedBrain, ScriptedStt


def request(**fields: Any) -> conversation_pb2.ConverseRequest:
    return conversation_pb2.ConverseRequest(**fields)


UNKNOWN: Any = 5
NAN = np.array([0, np.nan], "<f4").tobytes()
F32 = common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=16_000)


@pytest.mark.parametrize(
    ("config", "requests", "field"),
    [
        ({"input": common_pb2.AudioFormat(sample_rate_hz=7_000)}, [], "config.input.sample_rate_hz"),
        ({"input": common_pb2.AudioFormat(sample_rate_hz=96_000)}, [], "config.input.sample_rate_hz"),
        ({"output": common_pb2.AudioFormat(encoding=UNKNOWN, sample_rate_hz=8_000)}, [], "config.output.encoding"),
        ({"session_id": "x" * 129}, [], "config.session_id"),
        ({"session_id": "a\x1bb"}, [], "config.session_id"),
        ({"speaker": 70_000}, [], "config.speaker"),
        ({"voice": 3}, [], "config.voice"),
        ({"lead": Duration(seconds=-2)}, [], "config.lead"),
        ({}, [request(audio=b"\0\0\0")], "audio"),
        ({}, [request(audio=bytes(1 << 20) + b"\0\0")], "audio"),
        ({"input": F32}, [request(audio=NAN)], "audio[1]"),
        ({}, [request(config=conversation_pb2.ConverseConfig())], "config"),
        ({}, [request()], "request"),
    ],
)
async def test_bad_input_names_the_field_and_others_are_not_disturbed(config, requests, field):
    brain = ScriptedBrain()
    async with gateway_with(brain, ScriptedStt()) as gateway:
        go = asyncio.Event()
        other = asyncio.create_task(gateway.converse(go.wait(), "still here"))
        error = await failure_of(gateway, *requests, **config)
        assert isinstance(error, InvalidInput)
        assert error.field == field
        assert error.limit
        go.set()
        assert (await other).of("reply_ended")
        assert (await gateway.converse("and the next")).of("reply_ended")


@pytest.mark.parametrize("text", ["", "  ", "?", "...", "<|im_end|>", "*nods*", "b" * 1_000_000])
async def test_a_typed_turn_that_cannot_be_answered_fails_alone(text):
    async with gateway_with(ScriptedBrain()) as gateway:
        heard = await gateway.converse(text, "and now?")
    (failed,) = heard.of("turn_failed")
    assert failed.field == "text"
    assert len(heard.of("reply_ended")) == 1


async def test_emoji_are_a_turn():
    brain = ScriptedBrain()
    async with gateway_with(brain) as gateway:
        heard = await gateway.converse("\U0001f44d")
    assert not heard.of("turn_failed")
    assert brain.requests[0].text == "\U0001f44d"
    assert len(heard.of("reply_ended")) == 1


async def test_a_stream_must_begin_with_its_configuration():
    async with gateway_with(session_start_s=1.0) as gateway:

        async def nothing():
            for none in ():
                yield none

        async def audio_first():
            yield request(audio=b"\0\0")

        for requests, kind in ((nothing(), InvalidInput), (audio_first(), InvalidInput), (None, Timeout)):
            call = gateway.stub.Converse(timeout=30)
            with pytest.raises(aio.AioRpcError) as caught:
                async for _ in call if requests is None else exchange(call, requests):
                    pass
            assert isinstance(error_from_rpc(caught.value, "gateway"), kind)


async def test_ten_minutes_of_silence_then_a_turn():
    stt, brain = ScriptedStt("at last"), ScriptedBrain()
    second = bytes(2 * 16_000)
    async with gateway_with(stt, brain, max_audio_speed=1000) as gateway:
        heard = await gateway.converse(*[second] * 600, *speech())
    assert heard.of("final")[0].text == "at last"
    assert seconds(heard.of("speech_started")[0].start) == pytest.approx(600, abs=0.1)
    assert seconds(heard.of("turn_ended")[0].speech_end) == pytest.approx(600.5, abs=0.1)
    assert heard.of("reply_ended")
