"""The mesh's rules, on a real server over a real port."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from oviya.errors import Busy, InvalidInput, NotReady, OviyaError, Timeout
from oviya.mesh.channel import open_channel
from oviya.mesh.probe import is_serving
from oviya.mesh.service import RunningService, Service
from oviya.mesh.settings import ServiceSettings
from oviya.status import error_from_rpc
from oviya.streams import with_stall_timeout
from oviya.v1 import brain_pb2, brain_pb2_grpc
from tests.support.serving import serve_for_test

NAME = "oviya.v1.BrainService"


class Echo(brain_pb2_grpc.BrainServiceServicer):
    """Answers with the words of the request; some texts make it fail."""

    def __init__(self) -> None:
        self.attempts = 0
        self.cancelled = asyncio.Event()
        self.release = asyncio.Event()

    async def Reply(self, request, context):
        self.attempts += 1
        match request.text:
            case "bad":
                raise InvalidInput("text", request.text, "must be good", hint="be good", suggestions=["good"])
            case "full" if self.attempts < 3:
                raise Busy("all 4 slots are taken", retry_after_s=0.02)
            case "bug":
                raise KeyError("secret")
            case "late bug":
                yield brain_pb2.ReplyResponse(text="one")
                raise Busy("full after the first message", retry_after_s=0.02)
        try:
            for index, word in enumerate(request.text.split()):
                if word == "wait":
                    await self.release.wait()
                yield brain_pb2.ReplyResponse(index=index, text=word)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    async def Summarize(self, request, context):
        return brain_pb2.SummarizeResponse()

    async def GetModel(self, request, context):
        return brain_pb2.BrainServiceGetModelResponse()


class EchoService(Service[ServiceSettings]):
    name = "echo"
    grpc_services = (NAME,)

    def __init__(self, settings: ServiceSettings | None = None) -> None:
        super().__init__(settings or ServiceSettings())
        self.echo = Echo()
        self.warm = asyncio.Event()
        self.warm.set()

    def register(self, server):
        brain_pb2_grpc.add_BrainServiceServicer_to_server(self.echo, server)

    async def start(self):
        await self.warm.wait()


async def ask(channel, text: str) -> list[str]:
    stub: Any = brain_pb2_grpc.BrainServiceStub(channel)
    return [response.text async for response in stub.Reply(brain_pb2.ReplyRequest(text=text), timeout=10)]


async def test_typed_error_arrives_with_field_value_limit_and_suggestions():
    async with serve_for_test(EchoService()) as served:
        with pytest.raises(grpc.RpcError) as caught:
            await ask(served.channel, "bad")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        error = error_from_rpc(caught.value, "echo")
        assert isinstance(error, InvalidInput)
        assert (error.field, error.value, error.limit, error.suggestions) == ("text", "bad", "must be good", ("good",))
        assert str(error).count("be good") == 2  # the limit and the hint, each once
        assert await ask(served.channel, "next call works") == ["next", "call", "works"]


async def test_busy_is_retried_at_the_servers_pace_only_before_the_first_message():
    async with serve_for_test(EchoService()) as served:
        assert await ask(served.channel, "full") == ["full"]
        assert served.service.echo.attempts == 3
        served.service.echo.attempts = 0
        with pytest.raises(grpc.RpcError) as caught:
            await ask(served.channel, "late bug")
        assert isinstance(error_from_rpc(caught.value, "echo"), Busy)
        assert served.service.echo.attempts == 1


async def test_unexpected_failure_tells_no_internals():
    async with serve_for_test(EchoService()) as served:
        with pytest.raises(grpc.RpcError) as caught:
            await ask(served.channel, "bug")
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in str(caught.value.details())
        assert await ask(served.channel, "fine") == ["fine"]


async def test_cancellation_reaches_the_servicer():
    async with serve_for_test(EchoService()) as served:
        call: Any = brain_pb2_grpc.BrainServiceStub(served.channel).Reply(brain_pb2.ReplyRequest(text="one wait"))
        assert (await call.read()).text == "one"
        call.cancel()
        await asyncio.wait_for(served.service.echo.cancelled.wait(), 2)


async def test_not_serving_until_warm_then_serving_then_drained_with_the_running_stream_finished():
    service = EchoService(ServiceSettings(drain_wait_s=0.2))
    service.warm.clear()
    running = RunningService(service)
    starting = asyncio.ensure_future(running.start())
    while not running.server.port:
        await asyncio.sleep(0.01)
    address = f"127.0.0.1:{running.server.port}"
    async with grpc.aio.insecure_channel(address) as channel:
        states: list[int] = []
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=NAME))

        async def follow() -> None:
            async for response in watch:
                states.append(response.status)

        following = asyncio.ensure_future(follow())
        with pytest.raises(grpc.RpcError) as caught:
            await ask(channel, "too early")
        assert isinstance(error_from_rpc(caught.value, "echo"), NotReady)
        assert not await asyncio.to_thread(is_serving, address)
        service.warm.set()
        await starting
        assert await asyncio.to_thread(is_serving, address, NAME)
        call: Any = brain_pb2_grpc.BrainServiceStub(channel).Reply(brain_pb2.ReplyRequest(text="first wait last"))
        assert (await call.read()).text == "first"
        stopping = asyncio.ensure_future(running.stop())
        while states[-1] != health_pb2.HealthCheckResponse.NOT_SERVING or len(states) < 3:
            await asyncio.sleep(0.01)
        service.echo.release.set()
        assert [(await call.read()).text, (await call.read()).text] == ["wait", "last"]
        assert await call.read() is grpc.aio.EOF
        watch.cancel()
        await stopping
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
        assert states == [not_serving, serving, not_serving]


async def test_a_service_that_breaks_down_stops_serving_at_once():
    async with serve_for_test(EchoService()) as served:
        assert await asyncio.to_thread(is_serving, served.address, NAME)
        served.service.break_down()
        await asyncio.sleep(0)
        while await asyncio.to_thread(is_serving, served.address, NAME):
            await asyncio.sleep(0.01)
        async with grpc.aio.insecure_channel(served.address) as channel:  # one that does not look at health
            with pytest.raises(grpc.RpcError) as caught:
                await ask(channel, "too late")
        assert isinstance(error_from_rpc(caught.value, "echo"), NotReady)


async def test_second_server_on_the_same_port_is_refused():
    async with serve_for_test(EchoService()) as served:
        second = RunningService(EchoService(ServiceSettings(port=served.running.server.port)))
        with pytest.raises(OviyaError, match="cannot listen"):
            await second.start()


async def test_reflection_lists_the_service():
    async with serve_for_test(EchoService()) as served:
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub
        stub = reflection(served.channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        names = [service.name async for answer in call for service in answer.list_services_response.service]
        assert NAME in names


async def test_channel_spreads_calls_over_replicas_and_skips_the_one_that_is_not_serving():
    async with serve_for_test(EchoService()) as first, serve_for_test(EchoService()) as second:
        addresses = ",".join(f"127.0.0.1:{served.running.server.port}" for served in (first, second))
        channel = open_channel(f"ipv4:{addresses}", NAME)
        await channel.channel_ready()
        for _ in range(20):
            await ask(channel, "hello")
        both = [served.service.echo.attempts for served in (first, second)]
        assert min(both) > 0
        assert sum(both) == 20
        await second.running.server.set_serving(False)
        for _ in range(20):
            await ask(channel, "hello")
        assert sum(served.service.echo.attempts for served in (first, second)) == 40
        assert second.service.echo.attempts <= both[1] + 1  # the change may cross one call on the wire
        await channel.close()


async def test_stall_timeout_names_what_was_waited_for():
    async def stalls():
        yield 1
        await asyncio.Event().wait()

    stream = with_stall_timeout(stalls(), 0.05, "the next frame from csm")
    assert await anext(stream) == 1
    with pytest.raises(Timeout, match="the next frame from csm"):
        await anext(stream)
