"""The CSM service over a real port."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.request
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oviya.errors import InvalidInput
from oviya.rvq import pack_frames, unpack_frames
from oviya.status import error_from_rpc
from oviya.v1 import csm_pb2, csm_pb2_grpc
from services.csm.server import CsmService
from services.csm.settings import CsmSettings
from tests.support.checkpoints.csm import write_checkpoint
from tests.support.serving import serve_for_test

AT_ONCE = Duration()
PACED = Duration(nanos=10_000_000)
HELLO = csm_pb2.GenerateRequest(
    text="Hello you.", sampling=csm_pb2.Sampling(seed=3), max_frames=6, lead=AT_ONCE, request_id="test"
)


def request(**changes) -> csm_pb2.GenerateRequest:
    """HELLO with some fields replaced."""
    kept = {field.name: value for field, value in HELLO.ListFields()}
    return csm_pb2.GenerateRequest(**(kept | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("csm") / "small", styles=("calm", "playful"))


@pytest_asyncio.fixture
async def served(folder):
    settings = CsmSettings(checkpoint=str(folder), slots=2, host="127.0.0.1")
    async with serve_for_test(CsmService(settings)) as served:
        yield served


@pytest_asyncio.fixture
async def stub(served):
    """A stub on a channel that does not retry: a refusal is seen as it is."""
    async with aio.insecure_channel(served.address, options=[("grpc.enable_retries", 0)]) as channel:
        yield csm_pb2_grpc.CsmServiceStub(channel)


async def speak(stub, asked: csm_pb2.GenerateRequest):
    """Codes (T, Q) of a request and its last message."""
    responses = [response async for response in stub.Generate(asked, timeout=60)]
    assert [response.WhichOneof("response") for response in responses] == ["frames"] * (len(responses) - 1) + ["end"]
    frames = [
        unpack_frames(response.frames, "frames", codebooks=8, codebook_size=512, max_frames=1)
        for response in responses[:-1]
    ]
    return np.concatenate(frames), responses[-1].end


async def test_a_text_becomes_frames_and_an_end(stub):
    frames, end = await speak(stub, HELLO)
    assert frames.shape == (6, 8)
    assert (end.reason, end.frames, end.seed) == (csm_pb2.FINISH_REASON_LENGTH, 6, 3)
    assert end.prompt_positions == 1 + len("[0]Hello you.") + 1
    again, _ = await speak(stub, HELLO)
    np.testing.assert_array_equal(frames, again)


async def test_context_speaker_and_style_shape_the_speech(stub):
    plain, _ = await speak(stub, HELLO)
    codes = np.random.default_rng(0).integers(0, 512, (20, 8))
    segment = csm_pb2.ContextSegment(speaker=1, text="Before.", audio=pack_frames(codes))
    variants = [{"context": [segment]}, {"speaker": 7}, {"style": "calm"}, {"text": "Hello, you."}]
    for changes in variants:
        other, _ = await speak(stub, request(**changes))
        assert (other != plain).any(), changes
    _, end = await speak(stub, request(context=[segment, csm_pb2.ContextSegment(text="Words only.")]))
    texts = ("[1]Before.", "[0]Words only.", "[0]Hello you.")
    assert end.prompt_positions == sum(len(text) + 2 for text in texts) + 20 + 1


async def test_the_end_tells_what_was_dropped_and_found(stub):
    clip = context([1] * 8 * 90, reference=True)
    turns = [csm_pb2.ContextSegment(text=f"Turn {i}.") for i in range(7)]
    asked = request(context=[clip, *turns])
    frames, end = await speak(stub, asked)
    assert (end.dropped_segments, end.cached_positions, end.pieces) == (2, 0, 1)
    kept, end = await speak(stub, request(context=[clip, *turns[2:]]))
    assert (end.dropped_segments, end.cached_positions) == (0, 128)
    np.testing.assert_array_equal(frames, kept)


async def test_an_answer_that_outruns_its_text_says_so(stub):
    _, end = await speak(stub, request(text="Hi.", max_frames=0))
    assert end.reason == csm_pb2.FINISH_REASON_RUNAWAY


async def test_a_queue_lets_callers_wait_within_the_service(folder):
    service = CsmService(CsmSettings(checkpoint=str(folder), slots=1, queue_s=30))
    async with serve_for_test(service) as served:
        stub = csm_pb2_grpc.CsmServiceStub(served.channel)
        running = stub.Generate(request(max_frames=0, lead=PACED))
        await running.read()
        waiting = [asyncio.create_task(speak(stub, HELLO)) for _ in range(3)]
        async with asyncio.timeout(5):
            while service.engine.queued < 3:
                await asyncio.sleep(0.005)
        waiting.pop().cancel()
        async with asyncio.timeout(5):
            while service.engine.queued > 2:
                await asyncio.sleep(0.005)
        running.cancel()
        results = await asyncio.gather(*waiting)
    assert [len(frames) for frames, _ in results] == [6, 6]


async def test_get_model_tells_the_card(stub, served):
    model = await stub.GetModel(csm_pb2.CsmServiceGetModelRequest())
    assert (model.model.name, model.model.backend, model.model.trained) == ("random-csm", "oviya-csm", False)
    assert (model.model.device, model.model.dtype, model.model.license) == ("cpu", "float32", "Apache-2.0")
    assert model.model.parameters == served.service.engine.checkpoint.model.parameter_count() > 0
    assert (model.codebooks, model.codebook_size, model.max_positions) == (8, 512, 2048)
    assert list(model.styles) == ["calm", "playful"]
    assert model.slots == 2


async def test_a_full_service_refuses_before_any_metadata_and_names_a_pause(stub, served):
    endless = request(max_frames=0, lead=PACED)
    running = [stub.Generate(endless) for _ in range(2)]
    for call in running:
        await call.read()
    refused = stub.Generate(HELLO)
    with pytest.raises(aio.AioRpcError) as failure:
        await refused.read()
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not tuple(await refused.initial_metadata()), "gRPC retries only before initial metadata"
    pushback = dict(failure.value.trailing_metadata())["grpc-retry-pushback-ms"]
    assert 100 <= int(pushback) <= 5000
    for call in running:
        call.cancel()
    await free(served)
    frames, _ = await speak(stub, HELLO)
    assert len(frames) == 6


async def test_a_caller_of_the_mesh_waits_for_a_slot_and_gets_it(served):
    """The mesh's channel tries again after the pause that the refusal names."""
    stub = csm_pb2_grpc.CsmServiceStub(served.channel)
    short = request(max_frames=4, lead=PACED)
    results = await asyncio.gather(*(speak(stub, short) for _ in range(3)))
    assert [len(frames) for frames, _ in results] == [4, 4, 4]


async def test_cancelling_frees_the_slot(stub, served):
    for _ in range(5):
        call = stub.Generate(request(max_frames=0, lead=PACED))
        await call.read()
        assert served.service.engine.slots_used == 1
        call.cancel()
        await free(served)


async def free(served) -> None:
    """Waits until no slot is used."""
    async with asyncio.timeout(5):
        while served.service.engine.slots_used:
            await asyncio.sleep(0.005)


def context(codes: list[int], codebooks: int = 8, *, reference: bool = False) -> csm_pb2.ContextSegment:
    segment = csm_pb2.ContextSegment(text="Before.", reference=reference)
    segment.audio.codebooks = codebooks
    segment.audio.codes.extend(codes)
    return segment


@pytest.mark.parametrize(
    ("changes", "field", "value", "limit"),
    [
        ({"text": ""}, "text", "", "1 to 8192"),
        ({"text": "…?!"}, "text", "…?!", "letter or a digit"),
        ({"text": "a" * 1_000_000}, "text", "aaa", "has 1000000"),
        ({"text": "word " * 10_000}, "text", "word", "has 50000"),
        ({"text": "7" * 8000}, "text", "frames", "9000"),
        ({"speaker": 65_536}, "speaker", "65536", "65535"),
        ({"style": "calmly"}, "style", "calmly", "calm, playful"),
        ({"max_frames": 9001}, "max_frames", "9001", "9000"),
        ({"lead": Duration(seconds=-1)}, "lead", "-1", "0"),
        ({"request_id": "x" * 129}, "request_id", "xxx", "128"),
        ({"sampling": csm_pb2.Sampling(temperature=2.5)}, "sampling.temperature", "2.5", "0 to 2"),
        ({"sampling": csm_pb2.Sampling(temperature=float("inf"))}, "sampling.temperature", "inf", "0 to 2"),
        ({"sampling": csm_pb2.Sampling(top_k=0)}, "sampling.top_k", "0", "1 to 512"),
        ({"sampling": csm_pb2.Sampling(top_k=513)}, "sampling.top_k", "513", "1 to 512"),
        ({"context": [context([0] * 7 + [512])]}, "context[0].audio.codes[7]", "512", "511"),
        ({"context": [context([1] * 32, codebooks=32)]}, "context[0].audio.codebooks", "32", "8"),
        ({"context": [context([1] * 8, codebooks=0)]}, "context[0].audio.codebooks", "0", "8"),
        ({"context": [context([1] * 9)]}, "context[0].audio.codes", "9", "whole frames"),
        ({"context": [context([1] * 8 * 3000)]}, "context[0].audio.codes", "3000", "2048"),
        ({"context": [context([1] * 8 * 700, reference=True)] * 3}, "context", "positions", "2048"),
        ({"context": [context([1] * 8), context([1] * 8, reference=True)]}, "context[1].reference", "True", "before"),
        ({"context": [context([1] * 8)] * 65}, "context", "65", "64"),
        ({"context": [csm_pb2.ContextSegment()]}, "context[0]", "", "text or audio"),
    ],
)
async def test_bad_input_is_told_exactly_and_the_next_call_works(stub, changes, field, value, limit):
    with pytest.raises(aio.AioRpcError) as failure:
        await speak(stub, request(**changes))
    error = error_from_rpc(failure.value, "csm")
    assert isinstance(error, InvalidInput)
    assert error.field == field
    assert value in error.value
    assert limit in error.limit
    assert len(str(error)) < 500, "a megabyte of text must not come back"
    frames, _ = await speak(stub, request(max_frames=1))
    assert len(frames) == 1


async def test_an_unknown_style_gets_the_nearest_names(stub):
    with pytest.raises(aio.AioRpcError) as failure:
        await speak(stub, request(style="playfull"))
    error = error_from_rpc(failure.value, "csm")
    assert isinstance(error, InvalidInput)
    assert error.suggestions == ("playful",)


async def test_a_message_beyond_the_limit_is_refused_and_the_next_call_works(stub):
    with pytest.raises(aio.AioRpcError) as failure:
        await speak(stub, request(text="a" * (5 << 20)))
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await speak(stub, HELLO)


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
        async with asyncio.timeout(60):
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
