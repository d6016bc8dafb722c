"""Who may call a service, how often and how many at once."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import SecretStr

from oviya.errors import Busy, OviyaError
from oviya.mesh import server
from oviya.mesh.service import RunningService, check_hosts
from oviya.mesh.settings import ServiceSettings
from oviya.status import error_from_rpc
from oviya.v1 import brain_pb2, brain_pb2_grpc
from services.csm.settings import CsmSettings
from services.gateway.settings import GatewaySettings
from tests.contract.mesh.test_runtime import NAME, EchoService, ask
from tests.support.serving import serve_for_test

PING_S = 10.0
"""How often clients that are set to 10 s ping: many are, e.g. llm-d-kv-cache#359."""


def test_pings_every_10_s_are_allowed():
    assert server.MIN_CLIENT_PING_S < PING_S


async def test_a_client_that_pings_as_often_as_allowed_is_not_sent_away(monkeypatch: pytest.MonkeyPatch):
    scale = 0.1  # of a second for each second, the least that gRPC's clients keep to
    monkeypatch.setattr(server, "MIN_CLIENT_PING_S", server.MIN_CLIENT_PING_S * scale)
    options = [
        ("grpc.keepalive_time_ms", round(PING_S * scale * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with (
        serve_for_test(EchoService()) as served,
        grpc.aio.insecure_channel(served.address, options=options) as without_calls,
        grpc.aio.insecure_channel(served.address, options=[*options, ("grpc.use_local_subchannel_pool", 1)]) as quiet,
    ):
        await without_calls.channel_ready()
        call: Any = brain_pb2_grpc.BrainServiceStub(quiet).Reply(brain_pb2.ReplyRequest(text="first wait last"))
        assert (await call.read()).text == "first"
        states: set[grpc.ChannelConnectivity] = set()
        for _ in range(30):  # six pings; the third one that comes too early ends the connection
            await asyncio.sleep(0.2)
            states |= {without_calls.get_state(), quiet.get_state()}
        served.service.echo.release.set()
        assert [(await call.read()).text, (await call.read()).text] == ["wait", "last"]
    assert states == {grpc.ChannelConnectivity.READY}


async def test_a_call_beyond_the_limit_is_refused_and_health_checks_do_not_count():
    async with serve_for_test(EchoService(ServiceSettings(max_concurrent_rpcs=2))) as served:  # noqa: SIM117
        async with grpc.aio.insecure_channel(served.address) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            watches = [health.Watch(health_pb2.HealthCheckRequest(service=NAME)) for _ in range(5)]
            for watch in watches:
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            stub: Any = brain_pb2_grpc.BrainServiceStub(channel)
            calls = [stub.Reply(brain_pb2.ReplyRequest(text="first wait last")) for _ in range(2)]
            for call in calls:
                assert (await call.read()).text == "first"
            with pytest.raises(grpc.RpcError) as caught:
                await stub.GetModel(brain_pb2.BrainServiceGetModelRequest(), timeout=10)
            refused = error_from_rpc(caught.value, "echo")
            assert isinstance(refused, Busy)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            with pytest.raises(grpc.RpcError):
                await ask(channel, "too many")
            calls[0].cancel()
            await asyncio.wait_for(served.service.echo.cancelled.wait(), 10)
            while served.running.server.calls > 1:
                await asyncio.sleep(0.01)
            assert await ask(channel, "there is room again") == ["there", "is", "room", "again"]
            for call in (*calls, *watches):
                call.cancel()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "10.1.2.3", "some-host"])
async def test_an_address_that_others_reach_is_refused_unless_told_so(host: str):
    settings = CsmSettings(host=host)
    with pytest.raises(OviyaError, match=r"CSM_HOST=.* CSM_ALLOW_UNAUTHENTICATED=true") as refused:
        check_hosts(settings)
    assert "\n" not in str(refused.value)
    check_hosts(CsmSettings(host=host, allow_unauthenticated=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.9.1"])
def test_a_loopback_address_needs_no_permission(host: str):
    check_hosts(CsmSettings(host=host))


async def test_a_service_on_an_open_address_does_not_listen():
    running = RunningService(EchoService(ServiceSettings(host="0.0.0.0")))
    with pytest.raises(OviyaError, match="ALLOW_UNAUTHENTICATED"):
        await running.start()
    assert running.server.port == 0


def test_the_gateways_http_address_needs_a_token_or_permission():
    with pytest.raises(OviyaError, match=r"^GATEWAY_HTTP_HOST=0\.0\.0\.0: "):
        check_hosts(GatewaySettings(http_host="0.0.0.0"))
    check_hosts(GatewaySettings(http_host="0.0.0.0", http_token=SecretStr("a-token")))
    check_hosts(GatewaySettings(http_host="0.0.0.0", allow_unauthenticated=True))
    with pytest.raises(OviyaError, match=r"^GATEWAY_HOST=0\.0\.0\.0: "):  # the token is HTTP's alone
        check_hosts(GatewaySettings(host="0.0.0.0", http_host="0.0.0.0", http_token=SecretStr("a-token")))


@pytest.mark.parametrize(
    ("settings", "reflects"),
    [
        (ServiceSettings(), True),
        (ServiceSettings(host="0.0.0.0"), False),
        (ServiceSettings(host="0.0.0.0", reflection="true"), True),
        (ServiceSettings(reflection="false"), False),
    ],
)
def test_reflection_is_served_where_only_this_machine_calls_unless_told_otherwise(
    settings: ServiceSettings, reflects: bool
):
    assert settings.reflects is reflects


async def test_reflection_that_is_off_is_not_served():
    async with serve_for_test(EchoService(ServiceSettings(reflection="false"))) as served:
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub
        stub = reflection(served.channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        with pytest.raises(grpc.RpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
