"""The service while it stops."""

from __future__ import annotations

import asyncio

from oviya.mesh.probe import is_serving
from tests.support.exchange import rest_of
from tests.support.speech import SAD, word_errors
from tests.support.stt_calls import (
    NAME,
    TIMEOUT_S,
    config,
    finals,
    pieces,
    sentence,
    serving,
)


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
        assert word_errors(finals(await rest_of(call))[0], SAD) <= 2
        await stopping
