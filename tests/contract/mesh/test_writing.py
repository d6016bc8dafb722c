"""The reason why a call ended reaches the caller, whatever was being written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from grpc import aio

from oviya.errors import Busy, OviyaError
from oviya.status import error_from_rpc
from oviya.v1 import common_pb2, mimi_pb2, mimi_pb2_grpc
from oviya.writing import sending, write
from tests.support.scripted_services import ScriptedMimi
from tests.support.serving import serve_for_test

FRAME = mimi_pb2.DecodeRequest(frames=common_pb2.RvqFrames(codebooks=8, codes=[0] * 8))


@asynccontextmanager
async def stub_of_mimi(failure: OviyaError | None = None) -> AsyncIterator[Any]:
    """A stub of a Mimi service on a channel that does not retry; every call ends with `failure`."""
    mimi = ScriptedMimi()
    mimi.fail = failure
    async with serve_for_test(mimi) as served, aio.insecure_channel(served.address) as channel:
        yield mimi_pb2_grpc.MimiServiceStub(channel)


async def test_a_refusal_during_writing_is_not_replaced():
    async with stub_of_mimi(Busy("no stream is free", retry_after_s=0.01)) as stub:
        for _ in range(100):
            call = stub.Decode()

            async def feed(call: object) -> None:
                while await write(call, FRAME):
                    await asyncio.sleep(0)

            feeding = asyncio.create_task(feed(call))
            with pytest.raises(aio.AioRpcError) as caught:
                await call.read()
            assert isinstance(error_from_rpc(caught.value, "mimi"), Busy)
            await feeding
            assert not await write(call, FRAME)


async def test_messages_arrive_in_order_and_a_call_that_goes_on_says_so():
    async with stub_of_mimi() as stub:
        call = stub.Decode()
        for _ in range(3):
            assert await write(call, FRAME)
        await call.done_writing()
        answers: list[Any] = [await call.read() for _ in range(4)]
    assert [len(answer.audio.pcm) for answer in answers[:3]] == [1920 * 4] * 3
    assert answers[3] is aio.EOF


async def test_server_that_is_not_there():
    async with aio.insecure_channel("127.0.0.1:1") as channel:
        call = mimi_pb2_grpc.MimiServiceStub(channel).Decode()
        assert not await write(call, FRAME)
        with pytest.raises(aio.AioRpcError):
            await call.read()


async def test_a_refusal_of_a_call_that_is_still_sending_is_not_replaced():
    async def frames():
        while True:
            yield FRAME

    async with stub_of_mimi(Busy("no stream is free", retry_after_s=0.01)) as stub:
        for _ in range(100):
            call = stub.Decode()
            with pytest.raises(aio.AioRpcError) as caught:
                async with sending(call, frames()):
                    await call.read()
            assert isinstance(error_from_rpc(caught.value, "mimi"), Busy)


async def test_an_error_of_the_requests_ends_the_call_and_reaches_its_reader():
    async def frames():
        yield FRAME
        await answered.wait()
        raise ValueError("the microphone was unplugged")

    answered = asyncio.Event()
    async with stub_of_mimi() as stub:
        call = stub.Decode()

        async def talk():
            async with sending(call, frames()):
                assert await call.read()
                answered.set()
                await call.read()

        with pytest.raises(ValueError, match="unplugged"):
            await talk()
        assert call.cancelled()


async def test_cancelling_the_reader_of_a_call_that_is_still_sending():
    async with stub_of_mimi() as stub:
        call = stub.Decode()
        begun = asyncio.Event()

        async def endless():
            yield FRAME
            await asyncio.Event().wait()

        async def talk():
            async with sending(call, endless()):
                await call.read()
                begun.set()
                await call.read()

        talking = asyncio.create_task(talk())
        await begun.wait()
        talking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await talking
        assert call.cancelled()
