"""Helpers for calling the speech-to-text service."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from oviya.audio.pcm import S16LE, encode_pcm
from oviya.status import error_from_rpc
from oviya.v1 import common_pb2, stt_pb2, stt_pb2_grpc
from services.stt.server import SttService
from services.stt.settings import SttSettings
from tests.support.exchange import exchange
from tests.support.serving import serve_for_test
from tests.support.speech import SAD, silence, speak, word_errors
from tests.support.transcripts import normalized

TIMEOUT_S = 150
NAME = "oviya.v1.SttService"
THANKS = "thank you very much"
END_TURN = stt_pb2.TranscribeRequest(end_turn=stt_pb2.EndTurn())


@asynccontextmanager
async def serving(**settings):
    settings = {"sessions": 1, **settings}
    async with serve_for_test(SttService(SttSettings(**settings))) as served:
        yield served, stt_pb2_grpc.SttServiceStub(served.channel)


def config(rate_hz=16_000, encoding: Any = S16LE, **fields):
    audio_format = common_pb2.AudioFormat(encoding=encoding, sample_rate_hz=rate_hz)
    return stt_pb2.TranscribeRequest(config=stt_pb2.TranscribeConfig(format=audio_format, **fields))


def audio(pcm: bytes):
    return stt_pb2.TranscribeRequest(audio=pcm)


def pieces(sound, encoding=S16LE, samples=320):
    return [audio(encode_pcm(sound[i : i + samples], encoding)) for i in range(0, len(sound), samples)]


def sentence(rate_hz=16_000, voice="slt"):
    return np.concatenate((silence(0.3, rate_hz), speak(SAD, rate_hz, voice), silence(1.2, rate_hz)))


async def transcribe(stub, *requests):
    return [response async for response in exchange(stub.Transcribe(timeout=TIMEOUT_S), requests)]


def finals(responses) -> list[str]:
    return [response.final.text for response in responses if response.WhichOneof("event") == "final"]


def ends(responses) -> list[stt_pb2.TurnEnded]:
    return [response.turn_ended for response in responses if response.WhichOneof("event") == "turn_ended"]


async def assert_hears(stub):
    """Checks that the service still works."""
    [text] = finals(await transcribe(stub, config(), *pieces(speak(THANKS))))
    assert word_errors(normalized(text), THANKS) <= 1


async def failure(stub, *requests):
    with pytest.raises(grpc.RpcError) as caught:
        await transcribe(stub, *requests)
    return caught.value.code(), error_from_rpc(caught.value, "stt")
