"""The Mimi service over a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from oviya.errors import InvalidInput, NotReady, OviyaError
from oviya.rvq import pack_frames
from oviya.status import error_from_rpc
from oviya.v1 import common_pb2, mimi_pb2, mimi_pb2_grpc
from services.mimi.server import MimiService
from services.mimi.settings import MimiSettings
from services.mimi.spread_spectrum import SpreadSpectrum, SpreadSpectrumStream
from tests.support.checkpoints.faults import assert_cannot_start, edit_config, missing, truncated
from tests.support.checkpoints.mimi import TINY, reference_mimi, save_mimi
from tests.support.exchange import exchange
from tests.support.metrics import mimi_streams
from tests.support.serving import ServedForTest, serve_for_test

CODEBOOKS, CODEBOOK_SIZE, FRAME = 8, 512, 1920
S16, F32 = common_pb2.AUDIO_ENCODING_PCM_S16LE, common_pb2.AUDIO_ENCODING_PCM_F32LE
WAIT_S = 30.0


@pytest_asyncio.fixture
async def served() -> AsyncIterator[ServedForTest]:
    settings = MimiSettings(decode_streams=2, encode_streams=1, max_stream_s=60.0, max_frames_per_message=100)
    async with serve_for_test(MimiService(settings)) as served:
        yield served


@pytest.fixture
def stub(served: ServedForTest) -> mimi_pb2_grpc.MimiServiceAsyncStub:
    return mimi_pb2_grpc.MimiServiceStub(served.channel)  # type: ignore[return-value]


def codes(frames: int, seed: int = 0, codebooks: int = CODEBOOKS) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, CODEBOOK_SIZE, (frames, codebooks))


def decode_request(frames: np.ndarray) -> mimi_pb2.DecodeRequest:
    return mimi_pb2.DecodeRequest(frames=pack_frames(frames))


def config(rate: int = 24_000, encoding: int = F32, codebooks: int = 0) -> mimi_pb2.EncodeRequest:
    audio_format = common_pb2.AudioFormat(encoding=encoding, sample_rate_hz=rate)  # type: ignore[arg-type]
    return mimi_pb2.EncodeRequest(config=mimi_pb2.EncodeConfig(format=audio_format, codebooks=codebooks))


def audio(samples: np.ndarray | bytes) -> mimi_pb2.EncodeRequest:
    return mimi_pb2.EncodeRequest(audio=samples if isinstance(samples, bytes) else samples.astype("<f4").tobytes())


async def decode(stub: Any, requests: Iterable[mimi_pb2.DecodeRequest]) -> np.ndarray:
    pieces = [np.frombuffer(r.audio.pcm, "<f4") async for r in exchange(stub.Decode(timeout=WAIT_S), requests)]
    return np.concatenate(pieces)


async def encode(stub: Any, requests: Iterable[mimi_pb2.EncodeRequest]) -> np.ndarray:
    replies = [r.frames async for r in exchange(stub.Encode(timeout=WAIT_S), requests)]
    return np.concatenate([np.array(r.codes).reshape(-1, r.codebooks) for r in replies])


def sound(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32) * 0.2


async def assert_works(stub: Any) -> None:
    assert len(await decode(stub, [decode_request(codes(2))])) == 2 * FRAME
    assert (await encode(stub, [config(), audio(sound(FRAME))])).shape == (1, CODEBOOKS)


async def test_get_model_says_what_is_loaded(stub: Any):
    reply = await stub.GetModel(mimi_pb2.MimiServiceGetModelRequest(), timeout=WAIT_S)
    assert (reply.codebooks, reply.codebook_size, reply.sample_rate_hz, reply.frame_samples) == (8, 512, 24_000, 1920)
    assert (reply.model.name, reply.model.trained) == ("demo-mimi", True)
    assert (reply.model.backend, reply.model.device, reply.model.dtype) == ("oviya-mimi", "cpu", "float32")
    assert reply.watermark == ""
    assert (reply.decode_streams, reply.encode_streams) == (2, 1)
    assert reply.model.parameters > 10_000


async def test_random_weights_say_that_they_are_not_trained():
    async with serve_for_test(MimiService(MimiSettings(checkpoint="random"))) as served:
        stub = mimi_pb2_grpc.MimiServiceStub(served.channel)
        reply = await stub.GetModel(mimi_pb2.MimiServiceGetModelRequest(), timeout=WAIT_S)
    assert (reply.model.name, reply.model.trained) == ("random-mimi", False)
    assert (reply.decode_streams, reply.encode_streams) == (8, 4), "what a CPU gets where nothing is set"


async def test_each_frame_is_answered_before_the_next_is_sent(stub: Any):
    frames = codes(5)
    call = stub.Decode(timeout=WAIT_S)
    pieces = []
    for frame in frames:
        await call.write(decode_request(frame[None]))
        reply = await call.read()
        assert reply.audio.format == common_pb2.AudioFormat(encoding=F32, sample_rate_hz=24_000)
        pieces.append(np.frombuffer(reply.audio.pcm, "<f4"))
        assert len(pieces[-1]) == FRAME
    await call.done_writing()
    assert await call.read() is aio.EOF
    whole = await decode(stub, [decode_request(frames)])
    assert np.abs(np.concatenate(pieces) - whole).max() <= 1e-4 * np.abs(whole).max()


async def test_two_utterances_at_once_are_each_as_alone(stub: Any):
    one, other = codes(10, 1), codes(10, 2)
    alone = [await decode(stub, [decode_request(frames)]) for frames in (one, other)]
    together = await asyncio.gather(
        decode(stub, [decode_request(frame[None]) for frame in one]),
        decode(stub, [decode_request(piece) for piece in np.split(other, [3, 4])]),
    )
    for found, wanted in zip(together, alone, strict=True):
        assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


async def test_fewer_codebooks_decode(stub: Any):
    assert len(await decode(stub, [decode_request(codes(3, codebooks=2))])) == 3 * FRAME


async def test_encoding_streams_and_pads_the_end(stub: Any):
    samples = sound(3 * FRAME + 100)
    found = await encode(stub, [config(), *(audio(piece) for piece in np.split(samples, [5, FRAME, 4000]))])
    assert found.shape == (4, CODEBOOKS)
    assert np.array_equal(found, await encode(stub, [config(), audio(samples)]))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
async def test_every_rate_encodes(stub: Any, rate: int):
    assert (await encode(stub, [config(rate), audio(sound(rate // 10)), audio(b"")])).shape == (2, CODEBOOKS)


async def test_16_bit_sound_and_fewer_codebooks(stub: Any):
    samples = (sound(FRAME) * 32768).round()
    ints = await encode(stub, [config(encoding=0, codebooks=3), audio(samples.astype("<i2").tobytes())])
    floats = await encode(stub, [config(codebooks=3), audio(samples / 32768)])
    assert ints.shape == (1, 3)
    assert np.array_equal(ints, floats)


async def refused(call: Any, field: str, words: str) -> None:
    """Checks that a call ends with INVALID_ARGUMENT, the field and the limit."""
    with pytest.raises(aio.AioRpcError) as caught:
        async for _ in call:
            pass
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, caught.value.details()
    error = error_from_rpc(caught.value, "mimi")
    assert isinstance(error, InvalidInput)
    assert error.field == field
    assert words in error.limit


OUT_OF_RANGE = codes(2)
OUT_OF_RANGE[1, 3] = 512
PARTIAL = mimi_pb2.DecodeRequest(frames=common_pb2.RvqFrames(codebooks=8, codes=range(12)))
NO_CODEBOOKS = mimi_pb2.DecodeRequest(frames=common_pb2.RvqFrames(codes=range(8)))
NO_FRAMES = mimi_pb2.DecodeRequest(frames=common_pb2.RvqFrames(codebooks=8))


@pytest.mark.parametrize(
    ("requests", "field", "words"),
    [
        ([decode_request(OUT_OF_RANGE)], "frames.codes[11]", "0 to 511"),
        ([decode_request(codes(1, codebooks=9))], "frames.codebooks", "1 to 8"),
        ([decode_request(codes(1)), decode_request(codes(1, codebooks=4))], "frames.codebooks", "must be 8"),
        ([NO_CODEBOOKS], "frames.codebooks", "1 to 32"),
        ([PARTIAL], "frames.codes", "whole frames of 8"),
        ([NO_FRAMES], "frames.codes", "at least one frame"),
        ([mimi_pb2.DecodeRequest()], "frames", "must be set"),
        ([], "frames", "must not be empty"),
        ([decode_request(codes(101))], "frames.codes", "at most 100 frames"),
        ([decode_request(codes(100))] * 8, "frames", "at most 60 s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_bad_frames_are_refused(stub: Any, requests: list[Any], field: str, words: str):
    await refused(exchange(stub.Decode(timeout=WAIT_S), requests), field, words)
    await assert_works(stub)


def wrong(value: float) -> np.ndarray:
    samples = sound(100)
    samples[42] = value
    return samples


@pytest.mark.parametrize(
    ("requests", "field", "words"),
    [
        ([config(), audio(wrong(np.nan))], "audio[42]", "finite"),
        ([config(), audio(wrong(np.inf))], "audio[42]", "finite"),
        ([config(), audio(wrong(-np.inf))], "audio[42]", "finite"),
        ([config(), audio(b"12345")], "audio", "whole samples of 4"),
        ([config(encoding=S16), audio(b"12345")], "audio", "whole samples of 2"),
        ([config(), audio(bytes((1 << 20) + 4))], "audio", "at most 1048576 bytes"),
        ([config(rate=0)], "config.format.sample_rate_hz", "8000 to 48000"),
        ([config(rate=96_000)], "config.format.sample_rate_hz", "8000 to 48000"),
        ([config(encoding=7)], "config.format.encoding", "PCM_S16LE"),
        ([config(codebooks=9)], "config.codebooks", "1 to 8"),
        ([mimi_pb2.EncodeRequest(config=mimi_pb2.EncodeConfig())], "config.format.sample_rate_hz", "8000 to 48000"),
        ([audio(sound(10))], "config", "first message"),
        ([mimi_pb2.EncodeRequest()], "config", "first message"),
        ([], "config", "first message"),
        ([config()], "audio", "at least one sample"),
        ([config(), audio(b"")], "audio", "at least one sample"),
        ([config(), config()], "request", "audio after the config"),
        ([config(), mimi_pb2.EncodeRequest()], "request", "audio after the config"),
        ([config(8_000, S16), *[audio(bytes(1 << 20))] * 2], "audio", "at most 60 s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_bad_sound_is_refused(stub: Any, requests: list[Any], field: str, words: str):
    await refused(exchange(stub.Encode(timeout=WAIT_S), requests), field, words)
    await assert_works(stub)


async def test_a_full_service_refuses_at_once_and_a_cancelled_call_frees_its_slot(served: ServedForTest, stub: Any):
    calls = [stub.Decode(timeout=WAIT_S) for _ in range(2)]
    for call in calls:
        await call.write(decode_request(codes(1)))
        await call.read()
    assert mimi_streams() == (2, 0)
    # A channel with a retry policy would try again while there may be room soon; this one must hear the first answer.
    async with aio.insecure_channel(served.address, options=[("grpc.enable_retries", 0)]) as channel:
        plain = mimi_pb2_grpc.MimiServiceStub(channel)
        with pytest.raises(aio.AioRpcError) as caught:
            await decode(plain, [decode_request(codes(1))])
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    calls[0].cancel()
    async with asyncio.timeout(WAIT_S):
        while mimi_streams() != (1, 0):
            await asyncio.sleep(0.01)
    await assert_works(stub)
    await calls[1].write(decode_request(codes(1)))  # the other one never noticed
    assert len((await calls[1].read()).audio.pcm) == FRAME * 4
    await calls[1].done_writing()
    assert await calls[1].read() is aio.EOF
    assert mimi_streams() == (0, 0)


MARKED = {
    "watermark": "services.mimi.spread_spectrum:SpreadSpectrum",
    "watermark_key": SecretStr("a key of this test"),
}


async def test_sound_is_marked_where_a_watermark_is_set(stub: Any):
    frames = codes(80)
    plain = await decode(stub, [decode_request(frames)])
    async with serve_for_test(MimiService(MimiSettings(**MARKED))) as served:
        marking: Any = mimi_pb2_grpc.MimiServiceStub(served.channel)
        reply = await marking.GetModel(mimi_pb2.MimiServiceGetModelRequest(), timeout=WAIT_S)
        assert reply.watermark == "spread-spectrum"
        found = await decode(marking, [decode_request(piece) for piece in np.split(frames, [1, 5, 40])])
    expected = SpreadSpectrum(sample_rate_hz=24_000, key="a key of this test").start().mark(plain)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    assert np.abs(found - plain).max() > 1e-3 * np.abs(plain).max()


async def test_a_failing_watermark_ends_the_call_with_its_name(stub: Any, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> np.ndarray:
        raise RuntimeError("broken")

    async with serve_for_test(MimiService(MimiSettings(**MARKED))) as served:
        marking: Any = mimi_pb2_grpc.MimiServiceStub(served.channel)
        call = marking.Decode(timeout=WAIT_S)
        await call.write(decode_request(codes(1)))
        assert len((await call.read()).audio.pcm) == FRAME * 4
        monkeypatch.setattr(SpreadSpectrumStream, "mark", broken)
        await call.write(decode_request(codes(1)))
        with pytest.raises(aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() == grpc.StatusCode.INTERNAL
        assert "watermark 'spread-spectrum' failed: RuntimeError: broken" in (caught.value.details() or "")
        monkeypatch.undo()
        await assert_works(marking)


async def test_a_watermark_that_cannot_be_loaded_stops_the_service_at_start():
    for changes, words in (({"watermark_key": ""}, "8 characters"), ({"watermark": "no.such:mark"}, "no.such:mark")):
        settings = MimiSettings(**{**MARKED, **changes})
        with pytest.raises(OviyaError, match=words):
            async with serve_for_test(MimiService(settings)):
                pass


def of_other_sizes(folder: Path) -> None:
    fields = json.loads((folder / "config.json").read_text())
    edit_config(folder, intermediate_size=2 * fields["intermediate_size"])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(missing, b"no such folder"), (truncated, b"truncated or damaged"), (of_other_sizes, b"its config asks for")],
)
async def test_the_process_says_in_one_line_why_it_cannot_start(tmp_path: Path, fault: Any, reason: bytes):
    folder = save_mimi(reference_mimi(**TINY), tmp_path / "broken")
    fault(folder)
    await assert_cannot_start("mimi", folder, reason)


async def test_a_stream_that_stalls_is_ended():
    async with serve_for_test(MimiService(MimiSettings(stall_s=0.2))) as served:
        stub: Any = mimi_pb2_grpc.MimiServiceStub(served.channel)
        call = stub.Decode(timeout=WAIT_S)
        await call.write(decode_request(codes(1)))
        await call.read()
        with pytest.raises(aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert mimi_streams() == (0, 0)


async def test_draining_finishes_the_stream_in_flight():
    async with serve_for_test(MimiService(MimiSettings())) as served:
        stub: Any = mimi_pb2_grpc.MimiServiceStub(served.channel)
        health: Any = health_pb2_grpc.HealthStub(served.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="oviya.v1.MimiService"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = stub.Decode(timeout=WAIT_S)
        await call.write(decode_request(codes(1)))
        await call.read()
        stopping = asyncio.ensure_future(served.running.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await call.write(decode_request(codes(2)))
        assert len((await call.read()).audio.pcm) == 2 * FRAME * 4
        await call.done_writing()
        assert await call.read() is aio.EOF
        watch.cancel()
        await stopping


async def test_calls_before_the_engine_is_loaded_are_told_so():
    with pytest.raises(NotReady):
        _ = MimiService(MimiSettings()).engine
