"""The service while decodes fail and while it stops."""

from __future__ import annotations

import asyncio

import grpc

from oviya.errors import Unavailable
from oviya.mesh.probe import is_serving
from oviya.v1 import stt_pb2_grpc
from tests.support.exchange import rest_of
from tests.support.speech import LONELY, word_errors
from tests.support.stt_calls import (
    NAME,
    TIMEOUT_S,
    config,
    failure,
    finals,
    pieces,
    sentence,
    serving,
)
from tests.support.stt_recognizers import WrappedRecognizer, whisper


async def test_a_final_decode_that_fails_ends_its_stream_and_no_other():
    def fail(request):
        if request.final and failing:
            raise Unavailable("stt", "out of memory")

    failing = True
    async with serving(WrappedRecognizer(whisper(), fail), sessions=2) as (served, stub):
        other = stub.Transcribe(timeout=TIMEOUT_S)
        sound = pieces(sentence())
        for request in (config(), *sound[: len(sound) // 4]):
            await other.write(request)
        async with grpc.aio.insecure_channel(served.address) as channel:  # without a retry policy
            code, error = await failure(stt_pb2_grpc.SttServiceStub(channel), config(), *sound)
        assert code == grpc.StatusCode.UNAVAILABLE
        assert isinstance(error, Unavailable)
        failing = False
        for request in sound[len(sound) // 4 :]:
            await other.write(request)
        await other.done_writing()
        assert word_errors(finals(await rest_of(other))[0], LONELY) == 0


async def test_health_follows_the_service_and_a_stream_in_flight_finishes():
    async with serving() as (served, stub):
        assert await asyncio.to_thread(is_serving, served.address, NAME)
        call = stub.Transcribe(timeout=TIMEOUT_S)
        sound = pieces(sentence())
        for request in (config(), *sound[: len(sound) // 2]):
            await call.write(request)
        await call.read()
        stopping = asyncio.create_task(served.running.stop())
        while await asyncio.to_thread(is_serving, served.address, NAME):
            await asyncio.sleep(0.01)
        assert not stopping.done()
        for request in sound[len(sound) // 2 :]:
            await call.write(request)
        await call.done_writing()
        assert word_errors(finals(await rest_of(call))[0], LONELY) == 0
        await stopping
