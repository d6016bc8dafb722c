"""A background loop or an engine's thread that ends by itself is logged, counted and shown in health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oviya.errors import NotReady
from oviya.mesh import background
from oviya.rvq import pack_frames
from oviya.status import error_from_rpc
from oviya.v1 import brain_pb2, brain_pb2_grpc, csm_pb2, csm_pb2_grpc, mimi_pb2, mimi_pb2_grpc
from services.csm.server import CsmService
from services.csm.settings import CsmSettings
from services.gateway.upstream.readiness import Readiness
from services.mimi.server import MimiService
from services.mimi.settings import MimiSettings
from tests.contract.mesh.test_runtime import EchoService
from tests.support.gateway_mesh import gateway_with
from tests.support.metrics import metric
from tests.support.scripted_services import ScriptedBrain
from tests.support.service_process import ServiceProcess
from tests.support.serving import ServedForTest, serve_for_test
from tests.support.waiting import until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
WAIT_S = 20.0


def failures(loop: str) -> float:
    return metric("loop_failures_total", loop=loop)


async def health_of(served: ServedForTest) -> int:
    async with grpc.aio.insecure_channel(served.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return (await stub.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S)).status


class Interrupted(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize("essential", [True, False])
async def test_a_service_serves_again_once_its_loop_runs_again(essential: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background.BackgroundLoops.__init__, "__kwdefaults__", {"first_pause_s": 0.3})
    reports: list[tuple[str, str]] = []

    class Looping(EchoService):
        fail = asyncio.Event()

        async def start(self) -> None:
            self.loops.start("test loop", self._loop, essential=essential)

        async def _loop(self) -> None:
            await self.fail.wait()
            self.fail.clear()
            raise AssertionError("what a user said")

        def report_loop(self, name: str, problem: str) -> None:
            reports.append((name, problem))

    before = failures("test loop")
    async with serve_for_test(Looping()) as served:
        served.service.fail.set()
        await until(lambda: reports)
        if essential:
            await until(lambda: not served.running.server.serving)
            assert await health_of(served) == NOT_SERVING
        else:
            assert await health_of(served) == SERVING
        await until(lambda: len(reports) == 2 and served.running.server.serving)
        assert await health_of(served) == SERVING
        assert failures("test loop") == before + 1
        assert "AssertionError" in reports[0][1]
        assert "user" not in reports[0][1]
        assert reports[1] == ("test loop", "")


@pytest_asyncio.fixture
async def csm() -> AsyncIterator[ServedForTest]:
    async with serve_for_test(CsmService(CsmSettings(checkpoint="random", slots=1, queue_s=60))) as served:
        yield served


@pytest_asyncio.fixture
async def mimi() -> AsyncIterator[ServedForTest]:
    async with serve_for_test(MimiService(MimiSettings(checkpoint="random"))) as served:
        yield served


async def assert_broken(served: ServedForTest, *calls: asyncio.Task[Any]) -> None:
    """Every call fails at once with a typed error, health says so, and the process is to end."""
    async with asyncio.timeout(WAIT_S):
        for call in calls:
            with pytest.raises(grpc.RpcError) as caught:
                await call
            # One that failed on the way may have been told before the engine gave up.
            error = error_from_rpc(caught.value, "engine")
            assert isinstance(error, NotReady) or "could not make the next frame" in str(error)
        await served.service.broken.wait()
    await until(lambda: not served.running.server.serving)
    assert await health_of(served) == NOT_SERVING


@pytest.mark.parametrize("error", [AssertionError, Interrupted])
@pytest.mark.parametrize("where", ["wake_at", "expire", "fail_running"])
async def test_csm_fails_what_waits_and_ends_once_its_thread_has_ended(
    csm: ServedForTest, where: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
):
    async def generate() -> None:
        async with grpc.aio.insecure_channel(csm.address) as channel:
            stub: Any = csm_pb2_grpc.CsmServiceStub(channel)
            pace = Duration(nanos=10_000_000)  # slow enough to go on while the others arrive
            request = csm_pb2.GenerateRequest(text="Hello there.", max_frames=1000, lead=pace)
            async for _ in stub.Generate(request, timeout=WAIT_S):
                started.set()

    engine = csm.service.engine
    before, started = failures("csm engine"), asyncio.Event()
    speaking = asyncio.create_task(generate())
    async with asyncio.timeout(WAIT_S):
        await started.wait()
    waiting = asyncio.create_task(generate())
    await until(lambda: engine.queued == 1)

    def broken(*_: object) -> Any:
        raise error("what a user said")

    monkeypatch.setattr(engine._scheduler, where, broken)
    if where == "fail_running":  # the device fails first
        monkeypatch.setattr(engine._device, "launch", broken)
    await assert_broken(csm, speaking, waiting)
    assert failures("csm engine") == before + 1


@pytest.mark.parametrize("error", [AssertionError, Interrupted])
@pytest.mark.parametrize("where", ["start_step", "finish_step", "deliver"])
async def test_mimi_fails_what_waits_and_ends_once_its_thread_has_ended(
    mimi: ServedForTest, where: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
):
    engine = mimi.service.engine
    before, begun = failures("mimi engine"), 0
    go_on = asyncio.Event()

    async def decode() -> None:
        nonlocal begun
        frames = pack_frames(np.zeros((1, engine.config.codebooks), np.int64))
        async with grpc.aio.insecure_channel(mimi.address) as channel:
            stub: Any = mimi_pb2_grpc.MimiServiceStub(channel)
            call = stub.Decode(timeout=WAIT_S)
            await call.write(mimi_pb2.DecodeRequest(frames=frames))
            assert await call.read() is not grpc.aio.EOF
            begun += 1
            await go_on.wait()
            await call.write(mimi_pb2.DecodeRequest(frames=frames))
            assert await call.read() is not grpc.aio.EOF

    calls = [asyncio.create_task(decode()) for _ in range(2)]
    await until(lambda: begun == 2)

    def broken(*_: object) -> Any:
        raise error("what a user said")

    if where == "deliver":
        monkeypatch.setattr("services.mimi.engine.batcher.Job.deliver", broken)
    else:
        monkeypatch.setattr(engine._decode, where, broken)
    go_on.set()
    await assert_broken(mimi, *calls)
    assert failures("mimi engine") == before + 1


def test_a_service_that_broke_down_ends_with_1():
    with ServiceProcess("tests.support.failing_service") as service:
        service.start()
        with grpc.insecure_channel(service.address) as channel:
            stub: Any = brain_pb2_grpc.BrainServiceStub(channel)
            list(stub.Reply(brain_pb2.ReplyRequest(text="x", session_id="break down"), timeout=10))
        assert service.wait() == 1


async def test_the_gateway_lists_a_readiness_loop_that_ended_and_looks_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background.BackgroundLoops.__init__, "__kwdefaults__", {"first_pause_s": 0.3})
    async with gateway_with(ScriptedBrain(), emotion=False) as gateway:
        readiness = gateway.service.readiness
        check = Readiness._check
        before = failures("readiness of brain")

        async def broken(self: Readiness, name: str) -> Any:
            if name == "brain":
                raise AssertionError("what a user said")
            return await check(self, name)

        monkeypatch.setattr(Readiness, "_check", broken)
        await until(lambda: "readiness of brain" in dict(readiness.degraded()))
        assert "AssertionError" in dict(readiness.degraded())["readiness of brain"]
        assert "user" not in str(readiness.report())
        assert failures("readiness of brain") >= before + 1
        monkeypatch.setattr(Readiness, "_check", check)
        await until(lambda: "readiness of brain" not in dict(readiness.degraded()))
        assert readiness.is_serving("brain")


async def test_a_background_task_that_fails_is_counted():
    async def fails() -> None:
        raise AssertionError("what a user said")

    before = failures("test task")
    task = background.background_task("test task", fails())
    await asyncio.wait({task})
    await asyncio.sleep(0)
    assert failures("test task") == before + 1


async def test_a_listener_that_fails_does_not_keep_a_loop_from_being_started_again():
    ran = 0

    async def loop() -> None:
        nonlocal ran
        ran += 1

    def broken(name: str, problem: str) -> None:
        raise AssertionError

    loops = background.BackgroundLoops(broken, first_pause_s=0.01)
    loops.start("test listener", loop)
    await until(lambda: ran >= 2)
    await loops.close()
