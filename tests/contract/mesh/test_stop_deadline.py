"""A stop has one deadline: `drain_wait_s` and `drain_grace_s` together, whatever does not want to end."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oviya.mesh import service as runtime
from oviya.mesh.deadline import Deadline
from oviya.mesh.service import RunningService
from oviya.mesh.settings import ServiceSettings
from oviya.v1 import brain_pb2, brain_pb2_grpc
from tests.contract.mesh.test_runtime import NAME, EchoService
from tests.support.gateway_mesh import gateway_with
from tests.support.scripted_services import ScriptedBrain
from tests.support.service_process import ServiceProcess

COMPOSE_STOP_S = 35.0
"""`stop_grace_period` of compose.yaml."""


@pytest.mark.parametrize("way", ["nothing", "drain", "close", "thread", "loop"])
def test_a_stop_ends_by_its_deadline_with_a_call_that_never_ends(way: str):
    wait_s, grace_s = 0.2, 2.0
    settings: dict[str, Any] = {"DRAIN_WAIT_S": str(wait_s), "DRAIN_GRACE_S": str(grace_s), "WAY": way}
    with ServiceProcess("tests.support.stubborn_service", **settings) as service:
        service.start()
        with grpc.insecure_channel(service.address) as channel:
            stub: Any = brain_pb2_grpc.BrainServiceStub(channel)
            call = stub.Reply(brain_pb2.ReplyRequest(text="go on"))
            assert next(call).text == "begun"
            started = time.monotonic()
            code = service.stop()
            took_s = time.monotonic() - started
        assert took_s >= wait_s + grace_s / 2  # the call had its grace
        assert took_s <= wait_s + grace_s + runtime.EXIT_SLACK_S + 1.5  # the last for a busy machine
        assert "flushed" in service.printed()  # close had its time
        assert code == (1 if way in ("thread", "loop") else 0)


def test_the_default_stop_ends_before_compose_kills():
    settings = ServiceSettings()
    assert settings.drain_wait_s + settings.drain_grace_s + runtime.EXIT_SLACK_S <= COMPOSE_STOP_S - 5


async def test_drain_leaves_time_for_close():
    seen: dict[str, float] = {}

    class Watching(EchoService):
        async def drain(self, deadline: Deadline) -> None:
            seen["drain"] = deadline.left_s

        async def close(self, deadline: Deadline) -> None:
            seen["close"] = deadline.left_s

    running = RunningService(Watching(ServiceSettings(drain_wait_s=0, drain_grace_s=20)))
    await running.start()
    await running.stop()
    assert 14 < seen["drain"] <= 15
    assert 15 < seen["close"] <= 20


async def test_the_gateway_writes_its_turns_although_a_session_and_http_never_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store, order = tmp_path / "sessions.db", list[str]()
    async with gateway_with(ScriptedBrain(), emotion=False, session_store=str(store), drain_grace_s=2.0) as gateway:
        service = gateway.service
        close_repository = service.repository.close

        async def never(*_: object) -> None:
            order.append("http")
            await asyncio.sleep(3600)

        async def close(within_s: float) -> None:
            await close_repository(within_s)
            order.append("store")

        monkeypatch.setattr(service.peers, "drain", never)
        monkeypatch.setattr(service.peers, "close", never)
        monkeypatch.setattr(service.repository, "close", close)
        talking = asyncio.create_task(gateway.converse("the last words", asyncio.sleep(3600)))
        while not service.conversation.sessions:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        started = time.monotonic()
    took_s = time.monotonic() - started
    assert took_s < 2.0 + 2.0  # the last for a busy machine
    assert order == ["http", "store", "http"]  # drain, then what must not be lost, then the rest
    await asyncio.gather(talking, return_exceptions=True)
    with closing(sqlite3.connect(store)) as kept:
        assert any("the last words" in line for line in kept.iterdump())


async def test_a_stop_does_not_wait_for_those_who_watch_health():
    running = RunningService(EchoService(ServiceSettings(drain_wait_s=0, drain_grace_s=60)))
    await running.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.server.port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=NAME))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        async with asyncio.timeout(20):
            await running.stop()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()


async def test_a_step_that_fails_does_not_keep_the_others_from_running():
    closed = asyncio.Event()

    class Failing(EchoService):
        async def drain(self, deadline: Deadline) -> None:
            raise ValueError("broken")

        async def close(self, deadline: Deadline) -> None:
            closed.set()

    running = RunningService(Failing(ServiceSettings(drain_wait_s=0)))
    await running.start()
    await running.stop()
    assert closed.is_set()


def test_a_deadline_is_shared_and_never_negative():
    now = [100.0]
    deadline = Deadline(10, lambda: now[0])
    earlier = deadline.earlier(4)
    assert (deadline.left_s, earlier.left_s) == (10, 6)
    now[0] = 107
    assert (deadline.left_s, earlier.left_s) == (3, 0)
