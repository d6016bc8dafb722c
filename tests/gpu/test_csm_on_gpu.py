"""`python -m services.csm` on a GPU: CSM-1B's published sizes, over gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from oviya.rvq import pack_frames, unpack_frames
from oviya.v1 import csm_pb2, csm_pb2_grpc
from tests.gpu.conftest import START_S
from tests.support.service_process import ServiceProcess

CODEBOOKS, CODEBOOK_SIZE = 32, 2048
AT_ONCE = Duration()
PACED = Duration(nanos=100_000_000)
CALL_S = 60.0
TEXT = "Hello there, how was your day?"
PAGE = 64
"""Positions of a page: a prompt that came before is found again in whole pages."""


@pytest_asyncio.fixture
async def stub(csm: ServiceProcess) -> AsyncIterator[Any]:
    async with csm.channel() as channel:
        yield csm_pb2_grpc.CsmServiceStub(channel)


def request(text: str = TEXT, *, positions: int = 0, seed: int = 0, **changes: Any) -> csm_pb2.GenerateRequest:
    """A request whose context fills about `positions`; each seed has another context."""
    context = []
    if positions:
        frames = positions - len("[0]A clip.") - 3
        codes = np.random.default_rng(seed).integers(1, CODEBOOK_SIZE, (frames, CODEBOOKS))
        context = [csm_pb2.ContextSegment(text="A clip.", audio=pack_frames(codes), reference=True)]
    fields: dict[str, Any] = {"max_frames": 12, "lead": AT_ONCE, **changes}
    return csm_pb2.GenerateRequest(text=text, context=context, sampling=csm_pb2.Sampling(seed=seed), **fields)


async def speak(stub: Any, asked: csm_pb2.GenerateRequest) -> tuple[np.ndarray, csm_pb2.GenerateEnd]:
    """Codes (T, Q) of a request, and its end."""
    responses = [response async for response in stub.Generate(asked, timeout=CALL_S)]
    assert [response.WhichOneof("response") for response in responses] == ["frames"] * (len(responses) - 1) + ["end"]
    frames = [
        unpack_frames(r.frames, "frames", codebooks=CODEBOOKS, codebook_size=CODEBOOK_SIZE, max_frames=1)
        for r in responses[:-1]
    ]
    return np.concatenate(frames), responses[-1].end


async def test_get_model_describes_the_device_and_its_slots(csm: ServiceProcess, stub: Any):
    model = await stub.GetModel(csm_pb2.CsmServiceGetModelRequest(), timeout=CALL_S)
    assert model.model.device.startswith("cuda")
    assert model.model.dtype == "bfloat16"
    assert (model.codebooks, model.codebook_size, model.max_positions) == (CODEBOOKS, CODEBOOK_SIZE, 2048)
    assert model.slots >= 64, "a data centre's GPU takes more than a CPU"
    assert csm.metric("oviya_csm_slots") == model.slots
    (logged,) = csm.events("capacity")
    assert (logged["slots"], logged["chosen"]) == (model.slots, "auto")


@pytest.mark.parametrize("positions", [0, 50, 250, 1500])
async def test_a_context_of_any_length_new_and_cached(stub: Any, positions: int):
    """Cached pages give what running them gives, to bfloat16's rounding.

    A near tie may fall either way, and what follows it then differs.  So the first code of each answer is compared, and
    one of eight may differ.
    """
    same = 0
    for seed in range(8):
        asked = request(positions=positions, seed=100 + positions + seed)
        frames, new = await speak(stub, asked)
        again, cached = await speak(stub, asked)
        assert len(frames) == new.frames == 12
        assert new.prompt_positions >= positions
        if positions:
            assert new.cached_positions == 0
        assert cached.cached_positions == (new.prompt_positions - 1) // PAGE * PAGE
        assert len(np.unique(frames[:, 0])) > 3, "the frames differ"
        same += int(frames[0, 0] == again[0, 0])
        if not cached.cached_positions:
            np.testing.assert_array_equal(frames, again)
    assert same >= 7


async def test_sixty_four_at_once(csm: ServiceProcess, stub: Any):
    rng = np.random.default_rng(0)
    asked = [
        request(f"{TEXT} It is call {i}.", positions=int(rng.choice([0, 60, 300, 900])), seed=i, max_frames=25)
        for i in range(64)
    ]
    made = await asyncio.gather(*(speak(stub, each) for each in asked))
    assert [len(frames) for frames, _ in made] == [25] * 64
    assert {end.reason for _, end in made} == {csm_pb2.FINISH_REASON_LENGTH}
    assert len({frames.tobytes() for frames, _ in made}) == 64
    assert csm.metric("oviya_csm_slots_used") == 0


async def test_a_call_that_is_cancelled_in_flight_frees_its_slot(csm: ServiceProcess, stub: Any):
    endless = request("A long story. " * 20, positions=250, max_frames=0, lead=PACED)
    calls = [stub.Generate(endless, timeout=CALL_S) for _ in range(8)]
    for call in calls:
        assert (await call.read()).WhichOneof("response") == "frames"
    assert csm.metric("oviya_csm_slots_used") == 8
    beside = asyncio.create_task(speak(stub, request(seed=5)))
    for call in calls:
        call.cancel()
    frames, _ = await beside
    assert len(frames) == 12
    async with asyncio.timeout(5):
        while csm.metric("oviya_csm_slots_used"):
            await asyncio.sleep(0.05)
    frames, _ = await speak(stub, request(seed=6))
    assert len(frames) == 12


async def test_bad_input_is_refused_and_affects_no_other_request(stub: Any):
    running = asyncio.create_task(speak(stub, request(seed=7, max_frames=50)))
    for bad in (request(""), request("..."), request("Hi.", max_frames=1 << 20)):
        with pytest.raises(grpc.RpcError) as refusal:
            await speak(stub, bad)
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    frames, _ = await running
    assert len(frames) == 50


async def test_sigterm_drains_and_a_second_start_serves(csm_folder: Path, tmp_path: Path):
    with ServiceProcess("services.csm", tmp_path / "csm.log", CHECKPOINT=str(csm_folder)) as process:
        process.start(START_S)
        async with process.channel() as channel:
            stub: Any = csm_pb2_grpc.CsmServiceStub(channel)
            call = stub.Generate(request(max_frames=40, lead=PACED), timeout=CALL_S)
            response = await call.read()
            process.terminate()
            while response.WhichOneof("response") == "frames":
                response = await call.read()
        assert response.end.frames == 40, "the running call was finished"
        assert process.wait(30) == 0
        process.start(START_S)
        async with process.channel() as channel:
            stub = csm_pb2_grpc.CsmServiceStub(channel)
            frames, _ = await speak(stub, request())
        assert len(frames) == 12
        process.terminate()
        assert process.wait(30) == 0


async def test_the_demo_voice_speaks_on_a_gpu_as_it_does_on_a_cpu(tmp_path: Path):
    """Greedy codes of the checkpoint that ships, in float32, from both devices' services."""
    asked = csm_pb2.GenerateRequest(
        text="Hello there.", sampling=csm_pb2.Sampling(temperature=0, seed=1), max_frames=20, lead=AT_ONCE
    )
    spoken: list[list[int]] = []
    for device in ("cuda", "cpu"):
        with ServiceProcess("services.csm", tmp_path / f"{device}.log", DEVICE=device, DTYPE="float32") as process:
            process.start(START_S)
            async with process.channel() as channel:
                stub: Any = csm_pb2_grpc.CsmServiceStub(channel)
                responses = [response async for response in stub.Generate(asked, timeout=CALL_S)]
            spoken.append([code for r in responses[:-1] for code in r.frames.codes])
    assert len(spoken[0]) > 5 * 8
    assert spoken[0] == spoken[1]


async def test_the_first_frame_comes_soon(stub: Any):
    """A loose bound: a GPU that compiles or allocates in a call takes seconds."""
    await speak(stub, request(positions=500, seed=900))
    for seed in range(901, 906):
        call = stub.Generate(request(positions=500, seed=seed), timeout=CALL_S)
        began = time.monotonic()
        await call.read()
        assert time.monotonic() - began < 1.0
        call.cancel()
