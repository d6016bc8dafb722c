"""The CSM service as a process: start, drain, end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.request
from typing import Any

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oviya.v1 import csm_pb2_grpc
from services.csm.server import CsmService
from services.csm.settings import CsmSettings
from tests.support.csm_calls import HELLO, PACED, request, speak
from tests.support.serving import serve_for_test


async def test_a_stream_in_flight_finishes_while_the_service_drains(folder):
    service = CsmService(CsmSettings(checkpoint=str(folder), slots=1))
    async with serve_for_test(service) as served:
        health: Any = health_pb2_grpc.HealthStub(served.channel)  # its stubs leave out Watch
        watch = health.Watch(health_pb2.HealthCheckRequest(service="oviya.v1.CsmService"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = csm_pb2_grpc.CsmServiceStub(served.channel).Generate(request(max_frames=8, lead=PACED))
        await call.read()
        stopping = asyncio.create_task(served.running.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        rest = []
        while (response := await call.read()) is not aio.EOF:
            rest.append(response)
        assert len(rest) == 8
        assert rest[-1].end.frames == 8
        await stopping


async def test_the_process_starts_speaks_measures_and_stops(folder):
    """`python -m services.csm` on free ports, as an operator runs it."""
    environment = os.environ | {
        "CSM_CHECKPOINT": str(folder),
        "CSM_PORT": "0",
        "CSM_METRICS_PORT": "0",
        "CSM_LOG_FORMAT": "json",
        "CSM_DRAIN_WAIT_S": "0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.csm", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            lines = []
            while not any('"serving"' in line for line in lines):
                lines.append((await process.stderr.readline()).decode())
                assert lines[-1], "the process ended"
        fields = {key: value for line in lines for key, value in json.loads(line).items()}
        async with aio.insecure_channel(fields["address"]) as channel:
            frames, _ = await speak(csm_pb2_grpc.CsmServiceStub(channel), HELLO)
        assert len(frames) == 6
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(fields["url"]).read().decode())
        measured = dict(line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("oviya_csm"))
        assert measured["oviya_csm_slots"] == "4.0"
        assert measured["oviya_csm_slots_used"] == "0.0"
        assert measured["oviya_csm_first_frame_seconds_count"] == "2.0"  # with the warm-up
        assert measured["oviya_csm_frames_total"] == "8.0"
        assert measured['oviya_csm_finished_total{reason="length"}'] == "2.0"
        assert measured["oviya_csm_rejected_total"] == "0.0"
        process.send_signal(signal.SIGTERM)
        rest = (await asyncio.wait_for(process.stderr.read(), 30)).decode()
        assert await process.wait() == 0
        assert "Hello" not in rest + "".join(lines), "what is said stays out of the log"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


LOSES_ITS_DEVICE = """
from oviya.mesh.service import run
from services.csm.server import CsmService
from services.csm.settings import CsmSettings
from services.csm.device.torch_device import TorchDevice

collect, frames = TorchDevice.collect, 0

def fail(self):
    global frames
    frames += 1
    if frames > 4:  # two of them are the warm-up's
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    return collect(self)

TorchDevice.collect, TorchDevice.works = fail, lambda self: False
run(CsmService, CsmSettings)
"""


async def test_the_process_ends_with_1_once_its_device_is_lost(folder):
    environment = os.environ | {
        "CSM_CHECKPOINT": str(folder), "CSM_PORT": "0", "CSM_LOG_FORMAT": "json", "CSM_DRAIN_WAIT_S": "0",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOSES_ITS_DEVICE, env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(150):
            line = b""
            while b'"serving"' not in line:
                line = await process.stderr.readline()
                assert line, "the process ended"
            async with aio.insecure_channel(json.loads(line)["address"]) as channel:
                with pytest.raises(aio.AioRpcError, match="next frame"):
                    await speak(csm_pb2_grpc.CsmServiceStub(channel), HELLO)
            rest = (await process.stderr.read()).decode()
            assert await process.wait() == 1
        errors = [json.loads(line) for line in rest.splitlines() if '"error"' in line]
        assert [error["event"] for error in errors if "lost" in error["event"]] == [
            "the engine's device is lost and the process ends"
        ]
        assert "Traceback" not in rest
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
