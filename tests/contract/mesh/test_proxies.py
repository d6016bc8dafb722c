"""Calls within the mesh, and to this machine, do not go through the environment's proxy (grpc#29718)."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from oviya.cli.local.process import gateway_readiness
from oviya.client import Oviya
from oviya.client.channel import channel_options, is_local
from oviya.mesh.probe import is_serving
from tests.contract.mesh.test_runtime import EchoService, ask
from tests.support.gateway_mesh import gateway_with
from tests.support.scripted_services import ScriptedBrain
from tests.support.serving import serve_for_test

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, NOBODY)
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)


async def test_a_plain_channel_goes_to_the_proxy():
    async with serve_for_test(EchoService()) as served, grpc.aio.insecure_channel(served.address) as channel:
        with pytest.raises(grpc.RpcError):
            await ask(channel, "this shows that the proxy is in force")


async def test_a_channel_of_the_mesh_and_the_probe_ignore_the_proxy():
    async with serve_for_test(EchoService()) as served:
        assert await ask(served.channel, "it works") == ["it", "works"]
        assert await asyncio.to_thread(is_serving, served.address)


async def test_the_gateway_reaches_its_services_and_is_reached_in_spite_of_a_proxy():
    async with gateway_with(ScriptedBrain(), emotion=False) as gateway:  # waits until the brain serves
        async with Oviya(gateway.address) as oviya:
            speech = await oviya.say("Hello there.", voice="fallback")
        assert len(speech.samples)
        ready, missing = await asyncio.to_thread(gateway_readiness, gateway.service.http.port)
        assert not ready
        assert "brain" not in missing
        assert "stt" in missing


@pytest.mark.parametrize(
    "address",
    ["localhost:1", "127.0.0.1:1", "[::1]:1", "10.0.0.8:1", "192.168.1.2:1", "gateway:50050", "dns:///gateway:50050",
     "unix:/run/oviya", "printer.local:1", "x.internal:1", "[fd00::1]:1"],
)  # fmt: skip
def test_the_client_reaches_what_is_near_without_a_proxy(address: str):
    assert is_local(address)
    assert dict(channel_options(address, None))["grpc.enable_http_proxy"] == 0
    assert dict(channel_options(address, True))["grpc.enable_http_proxy"] == 1


@pytest.mark.parametrize("address", ["talk.example.org:443", "dns:///talk.example.org:443", "8.8.8.8:1", "[2600::]:1"])
def test_the_client_reaches_what_is_far_through_the_proxy_unless_told_otherwise(address: str):
    assert not is_local(address)
    assert dict(channel_options(address, None))["grpc.enable_http_proxy"] == 1
    assert dict(channel_options(address, False))["grpc.enable_http_proxy"] == 0
