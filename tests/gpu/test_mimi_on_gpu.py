"""`python -m services.mimi` on a GPU: kyutai/mimi's published sizes, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest_asyncio

from oviya.audio.pcm import F32LE, decode_pcm, encode_pcm
from oviya.rvq import pack_frames, unpack_frames
from oviya.v1 import common_pb2, mimi_pb2, mimi_pb2_grpc
from tests.gpu.conftest import START_S
from tests.support.service_process import ServiceProcess

CODEBOOKS, CODEBOOK_SIZE, RATE_HZ, FRAME = 32, 2048, 24_000, 1920
CALL_S = 60.0
FORMAT = common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=RATE_HZ)


@pytest_asyncio.fixture
async def stub(mimi: ServiceProcess) -> AsyncIterator[Any]:
    async with mimi.channel() as channel:
        yield mimi_pb2_grpc.MimiServiceStub(channel)


def some_codes(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, CODEBOOK_SIZE, (frames, CODEBOOKS))


async def decode(stub: Any, codes: np.ndarray, size: int = 1) -> np.ndarray:
    """Decodes codes (T, Q), `size` frames a message, each sent after the response to the last one."""
    call = stub.Decode(timeout=CALL_S)
    pieces: list[np.ndarray] = []
    for at in range(0, len(codes), size):
        await call.write(mimi_pb2.DecodeRequest(frames=pack_frames(codes[at : at + size])))
        audio = (await call.read()).audio
        pieces.append(decode_pcm(audio.pcm, audio.format.encoding))
    await call.done_writing()
    return np.concatenate(pieces)


async def encode(stub: Any, samples: np.ndarray) -> np.ndarray:
    """Encodes samples into codes (T, Q)."""

    async def messages() -> AsyncIterator[mimi_pb2.EncodeRequest]:
        yield mimi_pb2.EncodeRequest(config=mimi_pb2.EncodeConfig(format=FORMAT))
        for at in range(0, len(samples), 4000):
            yield mimi_pb2.EncodeRequest(audio=encode_pcm(samples[at : at + 4000], F32LE))

    frames = [
        unpack_frames(r.frames, "frames", codebooks=CODEBOOKS, codebook_size=CODEBOOK_SIZE, max_frames=1000)
        async for r in stub.Encode(messages(), timeout=CALL_S)
    ]
    return np.concatenate(frames)


async def test_it_says_what_it_runs_on_and_how_many_it_takes(mimi: ServiceProcess, stub: Any):
    model = await stub.GetModel(mimi_pb2.MimiServiceGetModelRequest(), timeout=CALL_S)
    assert model.model.device.startswith("cuda")
    assert (model.codebooks, model.sample_rate_hz, model.frame_samples) == (CODEBOOKS, RATE_HZ, FRAME)
    assert model.decode_streams >= 64
    assert model.encode_streams >= 16
    (logged,) = mimi.events("capacity")
    assert (logged["decode_streams"], logged["encode_streams"]) == (model.decode_streams, model.encode_streams)


async def test_frame_by_frame_equals_whole_messages(stub: Any):
    codes = some_codes(30)
    one_by_one, whole = await decode(stub, codes), await decode(stub, codes, size=30)
    assert len(one_by_one) == 30 * FRAME
    assert np.abs(one_by_one - whole).max() <= 1e-3 * np.abs(whole).max()


async def test_sixty_four_at_once_sound_as_each_alone(mimi: ServiceProcess, stub: Any):
    codes = [some_codes(12, seed) for seed in range(64)]
    together = await asyncio.gather(*(decode(stub, each) for each in codes))
    for index in (0, 17, 63):
        alone = await decode(stub, codes[index])
        assert np.abs(together[index] - alone).max() <= 1e-3 * np.abs(alone).max()
    assert mimi.metric('oviya_mimi_streams_used{direction="decode"}') == 0


async def test_encode_gives_the_same_codes_again(stub: Any):
    time_s = np.arange(RATE_HZ * 2) / RATE_HZ
    samples = (0.3 * np.sin(2 * np.pi * 220 * time_s) * np.sin(2 * np.pi * 3 * time_s)).astype(np.float32)
    several = await asyncio.gather(*(encode(stub, samples) for _ in range(8)))
    assert {codes.shape for codes in several} == {(25, CODEBOOKS)}
    # Near ties between two entries of a codebook may fall either way in batches of other sizes.
    agreement = np.mean([codes[:, 0] == several[0][:, 0] for codes in several])
    assert agreement > 0.95


async def test_a_call_that_is_cancelled_in_flight_frees_its_slot(mimi: ServiceProcess, stub: Any):
    calls = [stub.Decode(timeout=CALL_S) for _ in range(8)]
    for call in calls:
        await call.write(mimi_pb2.DecodeRequest(frames=pack_frames(some_codes(1))))
        await call.read()
    assert mimi.metric('oviya_mimi_streams_used{direction="decode"}') == 8
    for call in calls:
        call.cancel()
    async with asyncio.timeout(5):
        while mimi.metric('oviya_mimi_streams_used{direction="decode"}'):
            await asyncio.sleep(0.05)
    assert len(await decode(stub, some_codes(3))) == 3 * FRAME


async def test_sigterm_drains_and_a_second_start_serves(mimi_folder: Path, tmp_path: Path):
    with ServiceProcess("services.mimi", tmp_path / "mimi.log", CHECKPOINT=str(mimi_folder)) as process:
        process.start(START_S)
        async with process.channel() as channel:
            stub: Any = mimi_pb2_grpc.MimiServiceStub(channel)
            call = stub.Decode(timeout=CALL_S)
            frame = mimi_pb2.DecodeRequest(frames=pack_frames(some_codes(1)))
            await call.write(frame)
            await call.read()
            process.terminate()
            for _ in range(10):
                await asyncio.sleep(0.1)
                await call.write(frame)
                assert (await call.read()).audio.pcm, "the running call goes on"
            await call.done_writing()
        assert process.wait(30) == 0
        process.start(START_S)
        async with process.channel() as channel:
            assert len(await decode(mimi_pb2_grpc.MimiServiceStub(channel), some_codes(2))) == 2 * FRAME
        process.terminate()
        assert process.wait(30) == 0


async def test_the_demo_codec_sounds_on_a_gpu_as_it_does_on_a_cpu(tmp_path: Path):
    codes = np.random.default_rng(1).integers(0, 512, (20, 8))
    sounds: list[np.ndarray] = []
    for device in ("cuda", "cpu"):
        with ServiceProcess("services.mimi", tmp_path / f"{device}.log", DEVICE=device) as process:
            process.start(START_S)
            async with process.channel() as channel:
                sounds.append(await decode(mimi_pb2_grpc.MimiServiceStub(channel), codes))
    assert np.abs(sounds[0] - sounds[1]).max() <= 1e-3 * np.abs(sounds[1]).max()
