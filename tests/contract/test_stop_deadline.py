"""A stop has one deadline: `drain_wait_s` and `drain_grace_s` together, whatever does not want to end."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from oviya.client import Oviya
from oviya.mesh import service as runtime
from oviya.mesh.deadline import Deadline
from oviya.mesh.service import RunningService
from oviya.mesh.settings import ServiceSettings
from oviya.v1 import brain_pb2, brain_pb2_grpc
from tests.contract.test_mesh_runtime import EchoService
from tests.gateway_mesh import gateway_with
from tests.logged_process import LoggedProcess
from tests.scripted_services import ScriptedBrain

COMPOSE_STOP_S = 35.0
"""`stop_grace_period` of compose.yaml."""


@pytest.mark.parametrize("way", ["nothing", "drain", "close", "thread", "loop"])
def test_a_stop_ends_by_its_deadline_with_a_call_that_never_ends(way: str):
    wait_s, grace_s = 0.2, 2.0
    env = {"STUBBORN_DRAIN_WAIT_S": str(wait_s), "STUBBORN_DRAIN_GRACE_S": str(grace_s), "STUBBORN_WAY": way}
    with LoggedProcess("tests.stubborn_service", "STUBBORN_", **env) as service:
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
    store = str(tmp_path / "sessions.db")
    async with gateway_with(ScriptedBrain(), emotion=False, session_store=store, drain_grace_s=2.0) as gateway:

        async def never() -> None:
            await asyncio.sleep(3600)

        monkeypatch.setattr(gateway.service.web, "drain", lambda grace_s: never())
        monkeypatch.setattr(gateway.service.web, "close", never)
        append = gateway.service.keeper.add
        talking = asyncio.create_task(gateway.converse("hello", asyncio.sleep(3600), session_id="s"))
        while not gateway.service.conversation.sessions:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        append("s", "user", "the last words")
        started = time.monotonic()
    took_s = time.monotonic() - started
    assert took_s < 2.0 + 2.0
    await asyncio.gather(talking, return_exceptions=True)
    async with (
        gateway_with(ScriptedBrain(), emotion=False, session_store=store) as gateway,
        Oviya(gateway.address) as oviya,
    ):
        kept = await oviya.export_session("s")
    assert "the last words" in [turn.text for turn in kept.turns]


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
