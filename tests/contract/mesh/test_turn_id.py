"""The id of a turn reaches the log lines of other services, over every kind of call."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc import aio

from oviya.mesh.channel import open_channel
from oviya.mesh.turn_id import METADATA_KEY, turn_scope
from oviya.v1 import brain_pb2, brain_pb2_grpc, emotion_pb2, emotion_pb2_grpc
from tests.support.service_process import ServiceProcess
from tests.support.waiting import until

TURN, OTHER = "0123456789ab", "ba9876543210"
TIMEOUT_S = 20.0
BRAIN, EMOTION = "oviya.v1.BrainService", "oviya.v1.EmotionService"


class Metadata(grpc.GenericRpcHandler):
    """Answers a call of any kind, by the method's name, with the turn's id in its metadata."""

    def service(self, handler_call_details):
        service, _, kind = handler_call_details.method.rpartition("/")
        if service != "/test":  # the channel watches the server's health
            return None
        ids = [str(value) for key, value in handler_call_details.invocation_metadata if key == METADATA_KEY]

        async def one(_request, _context):
            return ",".join(ids).encode()

        async def many(request, context):
            yield await one(request, context)

        return getattr(grpc, f"{kind}_rpc_method_handler")(many if kind.endswith("stream") else one)


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
async def test_every_kind_of_call_carries_the_id(kind):
    server = aio.server()
    server.add_generic_rpc_handlers((Metadata(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def requests():
        yield b""

    try:
        async with open_channel(f"127.0.0.1:{port}", BRAIN) as channel:
            method = getattr(channel, kind)(f"/test/{kind}")

            async def ask(**options):
                call = method(requests() if kind.startswith("stream") else b"", timeout=TIMEOUT_S, **options)
                return [answer async for answer in call] if kind.endswith("stream") else [await call]

            assert await ask() == [b""]
            with turn_scope(TURN):
                assert await ask() == [TURN.encode()]
                assert await ask(metadata=(("other", "1"),)) == [TURN.encode()]
    finally:
        await server.stop(None)


async def test_the_logs_of_two_services_have_the_id():
    with ServiceProcess("services.brain") as brain, ServiceProcess("services.emotion") as emotion:
        await asyncio.gather(asyncio.to_thread(brain.start), asyncio.to_thread(emotion.start))
        async with open_channel(brain.address, BRAIN) as to_brain, open_channel(emotion.address, EMOTION) as to_emotion:

            async def fail_in_both(metadata=None):
                """Both refuse the request, which they log."""
                replies: Any = brain_pb2_grpc.BrainServiceStub(to_brain).Reply(
                    brain_pb2.ReplyRequest(text=""), timeout=TIMEOUT_S, metadata=metadata
                )
                with pytest.raises(grpc.RpcError):
                    async for _ in replies:
                        pass
                stub: Any = emotion_pb2_grpc.EmotionServiceStub(to_emotion)
                with pytest.raises(grpc.RpcError):
                    await stub.Map(emotion_pb2.MapRequest(emotion="zzz"), timeout=TIMEOUT_S, metadata=metadata)

            with turn_scope(TURN):
                await fail_in_both()
            with turn_scope(OTHER):
                await fail_in_both()
            await fail_in_both()
            await fail_in_both(((METADATA_KEY, "what I said"),))
        for service in (brain, emotion):
            await until(lambda service=service: len(service.events("call failed")) == 4)
            assert [event.get("turn_id") for event in service.events("call failed")] == [TURN, OTHER, None, None]
            assert "what I said" not in service.printed()
