"""The speech-to-text service on a real server over a real port."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from oviya.audio.pcm import F32LE, S16LE, encode_pcm
from oviya.errors import Busy, InvalidInput, Timeout, Unsupported
from oviya.mesh.channel import open_channel
from oviya.mesh.probe import is_serving
from oviya.status import error_from_rpc
from oviya.v1 import common_pb2, stt_pb2, stt_pb2_grpc
from services.stt.server import SttService
from services.stt.settings import SttSettings
from tests.support.serving import serve_for_test
from tests.support.speech import SAD, silence, speak, word_errors

TIMEOUT_S = 60
NAME = "oviya.v1.SttService"
THANKS = "thank you very much"
END_TURN = stt_pb2.TranscribeRequest(end_turn=stt_pb2.EndTurn())


@asynccontextmanager
async def serving(**settings):
    settings = {"sessions": 1, "warm_decoders": 1, **settings}
    async with serve_for_test(SttService(SttSettings(**settings))) as served:
        yield served, stt_pb2_grpc.SttServiceStub(served.channel)


def config(rate_hz=16_000, encoding: Any = S16LE, **fields):
    audio_format = common_pb2.AudioFormat(encoding=encoding, sample_rate_hz=rate_hz)
    return stt_pb2.TranscribeRequest(config=stt_pb2.TranscribeConfig(format=audio_format, **fields))


def audio(pcm: bytes):
    return stt_pb2.TranscribeRequest(audio=pcm)


def pieces(sound, encoding=S16LE, samples=320):
    return [audio(encode_pcm(sound[i : i + samples], encoding)) for i in range(0, len(sound), samples)]


def sentence(rate_hz=16_000, voice="slt"):
    return np.concatenate((silence(0.3, rate_hz), speak(SAD, rate_hz, voice), silence(1.2, rate_hz)))


async def transcribe(stub, *requests):
    async def send():
        for request in requests:
            yield request

    return [response async for response in stub.Transcribe(send(), timeout=TIMEOUT_S)]


def finals(responses) -> list[str]:
    return [response.final.text for response in responses if response.WhichOneof("event") == "final"]


def ends(responses) -> list[stt_pb2.TurnEnded]:
    return [response.turn_ended for response in responses if response.WhichOneof("event") == "turn_ended"]


async def rest_of(call) -> list[stt_pb2.TranscribeResponse]:
    """Reads a call to its end."""
    responses = []
    while (response := await call.read()) != grpc.aio.EOF:
        responses.append(response)
    return responses


async def assert_hears(stub):
    """The service works, whatever came before."""
    [text] = finals(await transcribe(stub, config(), *pieces(speak(THANKS))))
    assert word_errors(text, THANKS) <= 1


async def failure(stub, *requests):
    with pytest.raises(grpc.RpcError) as caught:
        await transcribe(stub, *requests)
    return caught.value.code(), error_from_rpc(caught.value, "stt")


@pytest.mark.parametrize(
    ("rate_hz", "encoding"), [(8_000, S16LE), (16_000, F32LE), (24_000, S16LE), (44_100, F32LE), (48_000, S16LE)]
)
async def test_a_sentence_is_heard(rate_hz, encoding):
    async with serving() as (_, stub):
        sound = sentence(rate_hz, voice="rms" if rate_hz == 8_000 else "slt")
        responses = await transcribe(stub, config(rate_hz, encoding), *pieces(sound, encoding, rate_hz // 50))
    kinds = [response.WhichOneof("event") for response in responses]
    assert kinds[0] == "speech_started"
    assert kinds[-2:] == ["final", "turn_ended"]
    assert set(kinds[1:-2]) == {"partial", "likely_end"}
    final, ended = responses[-2].final, responses[-1].turn_ended
    assert word_errors(final.text, SAD) <= 2
    assert [word.text for word in final.words] == final.text.split()
    assert ended.reason == stt_pb2.TURN_END_REASON_SILENCE
    speech = (responses[0].speech_started.start.ToTimedelta(), ended.speech_end.ToTimedelta())
    slack = timedelta(seconds=0.15)
    for word in final.words:
        assert speech[0] - slack <= word.start.ToTimedelta() < word.end.ToTimedelta() <= speech[1] + slack
    positions = [response.at.ToTimedelta() for response in responses]
    assert positions == sorted(positions)
    assert positions[-1] <= timedelta(seconds=len(sound) / rate_hz)


@pytest.mark.parametrize("noise", [0.0, 0.004])
async def test_what_has_been_told_is_never_taken_back(noise):
    sound = sentence() + np.random.default_rng(1).normal(0, noise, len(sentence())).astype(np.float32)
    async with serving() as (_, stub):
        responses = await transcribe(stub, config(), *pieces(sound), *pieces(sound))
    told: dict[int, list[str]] = {}
    for response in responses:
        kind = response.WhichOneof("event")
        if kind in ("partial", "likely_end", "final"):
            words, before = getattr(response, kind).text.split(), told.get(response.turn, [])
            assert words[: len(before)] == before
            told[response.turn] = words
    assert len(told) == len(finals(responses)) == 2
    assert min(len(words) for words in told.values()) >= 5


async def test_the_model_is_described():
    async with serving() as (_, stub):
        answer = await stub.GetModel(stt_pb2.SttServiceGetModelRequest(), timeout=TIMEOUT_S)
    assert answer.model.backend == "pocketsphinx"
    assert answer.model.trained
    assert not answer.vocabulary
    assert list(answer.languages) == ["en-US"]


async def test_a_session_has_many_turns_and_each_way_to_end_one():
    sound = speak(SAD)
    async with serving() as (_, stub):
        responses = await transcribe(
            stub,
            config(),
            *pieces(sentence()),
            *pieces(sound),
            END_TURN,
            END_TURN,
            *pieces(silence(0.5)),
            *pieces(sound),
        )
    assert [end.reason for end in ends(responses)] == [
        stt_pb2.TURN_END_REASON_SILENCE,
        stt_pb2.TURN_END_REASON_REQUESTED,
        stt_pb2.TURN_END_REASON_STREAM_END,
    ]
    assert [word_errors(text, SAD) <= 2 for text in finals(responses)] == [True] * 3
    assert [response.turn for response in responses if response.WhichOneof("event") == "final"] == [0, 1, 2]


async def test_end_turn_is_answered_while_the_stream_stays_open():
    async with serving() as (_, stub):
        call = stub.Transcribe(timeout=TIMEOUT_S)
        for request in (config(), *pieces(np.concatenate((silence(0.3), speak(SAD)))), END_TURN):
            await call.write(request)
        responses = []
        while not ends(responses):
            responses.append(await call.read())
        assert word_errors(finals(responses)[0], SAD) <= 2
        assert ends(responses)[0].reason == stt_pb2.TURN_END_REASON_REQUESTED
        await call.done_writing()
        assert await call.read() == grpc.aio.EOF


async def test_the_callers_end_silence_is_kept():
    request = config()
    request.config.end_silence.FromMilliseconds(1_500)
    sound = np.concatenate((silence(0.3), speak(SAD), silence(1.0), speak("thank you very much"), silence(2.0)))
    async with serving() as (_, stub):
        assert len(finals(await transcribe(stub, request, *pieces(sound)))) == 1
        assert len(finals(await transcribe(stub, config(), *pieces(sound)))) == 2


@pytest.fixture(scope="module")
def address():
    """The service as it is run; all tests of bad input share it, so that each shows the next call to work."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"STT_PORT": str(port), "STT_SESSIONS": "2", "STT_WARM_DECODERS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "services.stt"], env={**os.environ, **settings})
    try:
        while not is_serving(f"127.0.0.1:{port}", NAME):
            assert process.poll() is None, "the service ended"
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(30) == 0


@asynccontextmanager
async def stub_of(address):
    async with open_channel(address, NAME) as channel:
        yield stt_pb2_grpc.SttServiceStub(channel)


NOT_A_NUMBER, INFINITE = np.full(160, np.nan, "<f4").tobytes(), np.full(160, -np.inf, "<f4").tobytes()
SHORT_SILENCE, LONG_SILENCE = config(), config()
SHORT_SILENCE.config.end_silence.FromMilliseconds(199)
LONG_SILENCE.config.end_silence.FromMilliseconds(5_001)


@pytest.mark.parametrize(
    ("requests", "field", "value", "limit"),
    [
        pytest.param([], "config", "an empty stream", "first message", id="empty stream"),
        pytest.param([audio(b"\0\0")], "config", "audio", "first message", id="audio before config"),
        pytest.param([END_TURN], "config", "end_turn", "first message", id="end before config"),
        pytest.param([stt_pb2.TranscribeRequest()], "config", "", "first message", id="unset first message"),
        pytest.param([config(), config()], "config", "a second one", "only the first", id="second config"),
        pytest.param([config(), stt_pb2.TranscribeRequest()], "request", "", "audio or end_turn", id="unset message"),
        pytest.param(
            [stt_pb2.TranscribeRequest(config=stt_pb2.TranscribeConfig())], "config.format", "", "set", id="no format"
        ),
        pytest.param([config(0)], "config.format.sample_rate_hz", "0", "8000 to 48000 Hz", id="rate unset"),
        pytest.param([config(7_999)], "config.format.sample_rate_hz", "7999", "8000 to 48000 Hz", id="rate too low"),
        pytest.param([config(48_001)], "config.format.sample_rate_hz", "48001", "8000 to 48000 Hz", id="rate too high"),
        pytest.param([config(encoding=9)], "config.format.encoding", "9", "PCM_S16LE or PCM_F32LE", id="encoding"),
        pytest.param([config(session_id="x" * 129)], "config.session_id", "x" * 99 + "…", "128", id="session id"),
        pytest.param([SHORT_SILENCE], "config.end_silence", "0.199 s", "0.2 to 5 s", id="silence too short"),
        pytest.param([LONG_SILENCE], "config.end_silence", "5.001 s", "0.2 to 5 s", id="silence too long"),
        pytest.param([config(vocabulary=["a"] * 101)], "config.vocabulary", "101 entries", "100", id="much vocabulary"),
        pytest.param([config(vocabulary=["a", " "])], "config.vocabulary[1]", " ", "1 to 64", id="empty word"),
        pytest.param([config(vocabulary=["x" * 65])], "config.vocabulary[0]", "x" * 65, "64", id="long word"),
        pytest.param([config(), audio(b"\0" * 321)], "audio", "321 bytes", "2 bytes", id="odd bytes"),
        pytest.param([config(encoding=F32LE), audio(b"\0" * 6)], "audio", "6 bytes", "4 bytes", id="part of a float"),
        pytest.param([config(encoding=F32LE), audio(NOT_A_NUMBER)], "audio[0]", "nan", "finite", id="NaN"),
        pytest.param([config(encoding=F32LE), audio(INFINITE)], "audio[0]", "-inf", "finite", id="infinity"),
        pytest.param(
            [config(), audio(b"\0" * (1 << 20) + b"\0\0")], "audio", "1048578 bytes", "1048576 bytes", id="too much"
        ),
    ],
)
async def test_bad_input_is_named_and_disturbs_nothing(address, requests, field, value, limit):
    async with stub_of(address) as stub:
        code, error = await failure(stub, *requests)
        await assert_hears(stub)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(error, InvalidInput)
    assert (error.field, error.value) == (field, value)
    assert limit in error.limit


async def test_a_vocabulary_is_refused_by_a_backend_that_cannot_use_it(address):
    async with stub_of(address) as stub:
        code, error = await failure(stub, config(vocabulary=["Oviya"]))
        await assert_hears(stub)
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert isinstance(error, Unsupported)
    assert "pocketsphinx" in str(error)


async def test_empty_audio_and_no_audio_are_no_mistakes(address):
    async with stub_of(address) as stub:
        assert await transcribe(stub, config()) == []
        assert await transcribe(stub, config(), audio(b""), END_TURN, audio(b"")) == []
        await assert_hears(stub)


async def test_ten_minutes_of_silence_say_nothing(address):
    async with stub_of(address) as stub:
        second = audio(bytes(32_000))
        assert await transcribe(stub, config(), *[second] * 600) == []
        await assert_hears(stub)


async def test_loud_and_clipped_sound_is_heard_without_harm(address):
    async with stub_of(address) as stub:
        noise = np.random.default_rng(5).normal(0, 3, 5 * 16_000).astype(np.float32)
        responses = await transcribe(stub, config(encoding=F32LE), *pieces(noise, F32LE), *pieces(silence(1), F32LE))
        assert len(finals(responses)) == len(ends(responses))
        await assert_hears(stub)


async def test_a_full_service_says_so_at_once_and_has_room_later():
    async with serving(sessions=1) as (served, stub):
        first = stub.Transcribe(timeout=TIMEOUT_S)
        for request in (config(), *pieces(sentence())):
            await first.write(request)
        await first.read()  # it has its slot
        async with grpc.aio.insecure_channel(served.address) as channel:  # without a retry policy
            code, error = await failure(stt_pb2_grpc.SttServiceStub(channel), config())
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert isinstance(error, Busy)
        assert error.retry_after_s > 0
        await first.done_writing()
        assert word_errors(finals(await rest_of(first))[0], SAD) <= 2
        await assert_hears(stub)


async def listen_in_silence(stub, stop):
    """An open microphone in a quiet room; returns what the service told."""
    call = stub.Transcribe(timeout=TIMEOUT_S)
    await call.write(config())
    while not stop.is_set():
        await call.write(audio(bytes(3_200)))
        await asyncio.sleep(0.1)
    await call.done_writing()
    return await rest_of(call)


async def test_eight_quiet_callers_leave_the_slots_to_who_speaks():
    async with serving(sessions=64, slots=1) as (_, stub):
        stop = asyncio.Event()
        quiet = [asyncio.create_task(listen_in_silence(stub, stop)) for _ in range(8)]
        await asyncio.sleep(0.5)
        for _ in range(2):
            assert word_errors(finals(await transcribe(stub, config(), *pieces(sentence())))[0], SAD) <= 2
        stop.set()
        assert await asyncio.gather(*quiet) == [[]] * 8


async def test_more_speakers_than_slots_are_all_heard():
    async with serving(sessions=64, slots=2, warm_decoders=2, slot_wait_s=60.0) as (_, stub):
        said = [config(), *pieces(np.concatenate((silence(0.3), speak(THANKS), silence(1.2))))]
        heard = await asyncio.gather(*(transcribe(stub, *said) for _ in range(6)))
    assert [word_errors(finals(responses)[0], THANKS) <= 1 for responses in heard] == [True] * 6


async def test_a_speaker_for_whom_no_slot_becomes_free_is_told_so_and_others_go_on():
    async with serving(sessions=64, slots=1, slot_wait_s=0.3) as (_, stub):
        first = stub.Transcribe(timeout=TIMEOUT_S)
        sound = pieces(sentence())
        for request in (config(), *sound[: len(sound) // 2]):
            await first.write(request)
        await first.read()  # it speaks, and has the slot
        second: Any = stub.Transcribe(timeout=TIMEOUT_S)
        for request in (config(), *sound):
            await second.write(request)
        assert (await second.read()).WhichOneof("event") == "speech_started"  # before it has waited
        with pytest.raises(grpc.RpcError) as caught:
            await rest_of(second)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        error = error_from_rpc(caught.value, "stt")
        assert isinstance(error, Busy)
        assert error.retry_after_s > 0
        for request in sound[len(sound) // 2 :]:
            await first.write(request)
        await first.done_writing()
        assert word_errors(finals(await rest_of(first))[0], SAD) <= 2
        await assert_hears(stub)


async def test_a_caller_that_stops_sending_while_it_speaks_gets_its_words_and_frees_the_slot():
    async with serving(sessions=64, slots=1, turn_stall_s=0.5, slot_wait_s=30.0) as (_, stub):
        stalled = stub.Transcribe(timeout=TIMEOUT_S)
        for request in (config(), *pieces(np.concatenate((silence(0.3), speak(SAD))))):
            await stalled.write(request)
        await stalled.read()
        await assert_hears(stub)
        responses = []
        while not ends(responses):
            responses.append(await stalled.read())
        assert word_errors(finals(responses)[0], SAD) <= 2
        assert ends(responses)[0].reason == stt_pb2.TURN_END_REASON_SILENCE
        for request in pieces(np.concatenate((speak(THANKS), silence(1.2)))):  # and can go on
            await stalled.write(request)
        await stalled.done_writing()
        assert word_errors(finals(await rest_of(stalled))[0], THANKS) <= 1


async def test_a_stream_in_which_nobody_speaks_is_ended():
    async with serving(idle_s=0.5) as (_, stub):
        with pytest.raises(grpc.RpcError) as caught:
            await listen_in_silence_until_it_fails(stub)
        assert isinstance(error_from_rpc(caught.value, "stt"), Timeout)
        await assert_hears(stub)


async def listen_in_silence_until_it_fails(stub):
    async def send():
        yield config()
        while True:
            yield audio(bytes(3_200))
            yield END_TURN
            await asyncio.sleep(0.05)

    async for _ in stub.Transcribe(send(), timeout=TIMEOUT_S):
        pass


async def test_sound_that_comes_sample_by_sample_is_heard():
    async with serving() as (_, stub):
        sound = np.concatenate((silence(0.1), speak(THANKS), silence(0.6)))
        responses = await transcribe(stub, config(), *pieces(sound, samples=1), END_TURN)
    assert word_errors(finals(responses)[0], THANKS) <= 1


async def test_a_decoder_that_is_killed_in_the_middle_of_a_turn_costs_no_word():
    async with serving() as (_, stub):
        [decoder] = [one for one in psutil.Process().children() if "services.stt.decode.sphinx_worker" in one.cmdline()]
        call: Any = stub.Transcribe(timeout=TIMEOUT_S)
        sound = pieces(sentence())
        for request in (config(), *sound[: len(sound) // 2]):
            await call.write(request)
        while (await call.read()).WhichOneof("event") != "partial":
            pass
        decoder.kill()
        for request in sound[len(sound) // 2 :]:
            await call.write(request)
        await call.done_writing()
        assert word_errors(finals(await rest_of(call))[0], SAD) <= 2


async def test_a_cancelled_call_frees_its_slot():
    async with serving(sessions=1) as (_, stub):
        call = stub.Transcribe(timeout=TIMEOUT_S)
        for request in (config(), *pieces(speak(SAD))):
            await call.write(request)
        await call.read()
        call.cancel()
        await assert_hears(stub)


async def test_a_caller_that_stalls_is_let_go():
    async with serving(stall_s=0.2) as (_, stub):
        call = stub.Transcribe(timeout=TIMEOUT_S)
        await call.write(config())
        with pytest.raises(grpc.RpcError) as caught:
            await call.read()
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert isinstance(error_from_rpc(caught.value, "stt"), Timeout)
        await assert_hears(stub)


async def test_a_session_that_is_too_long_gets_its_last_words_first():
    async with serving(max_session_s=2.0) as (_, stub):
        responses = []

        async def collect():
            async for response in stub.Transcribe(iter((config(), *pieces(sentence()))), timeout=TIMEOUT_S):
                responses.append(response)

        with pytest.raises(grpc.RpcError) as caught:
            await collect()
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert ends(responses)[0].reason == stt_pb2.TURN_END_REASON_MAX_LENGTH
        assert len(finals(responses)[0].split()) >= 3


async def test_a_caller_that_outruns_the_decoder_is_held_back():
    """What has been sent but not decoded stays within little more than the window of 1 MB, however much is to come."""
    rate_hz, window_bytes = 48_000, 3 << 20
    sound = np.concatenate((speak(SAD, rate_hz), silence(0.7, rate_hz)))
    sent_bytes, ahead_bytes = 0, []

    async def send():
        nonlocal sent_bytes
        yield config(rate_hz, F32LE)
        while sent_bytes < 20 * window_bytes:
            for request in pieces(sound, F32LE, rate_hz // 10):
                yield request
                sent_bytes += len(request.audio)

    async with serving() as (_, stub):
        call = stub.Transcribe(send(), timeout=TIMEOUT_S)
        async for response in call:
            ahead_bytes.append(sent_bytes - response.at.ToTimedelta().total_seconds() * rate_hz * 4)
            if len(ahead_bytes) == 20:
                break
        call.cancel()
        assert max(ahead_bytes) < window_bytes
        await assert_hears(stub)


async def test_health_follows_the_service_and_a_stream_in_flight_finishes():
    async with serving() as (served, stub):
        assert await asyncio.to_thread(is_serving, served.address, NAME)
        call = stub.Transcribe(timeout=TIMEOUT_S)
        sound = pieces(sentence())
        for request in (config(), *sound[: len(sound) // 2]):
            await call.write(request)
        await call.read()
        stopping = asyncio.create_task(served.running.stop())
        while await asyncio.to_thread(is_serving, served.address, NAME):
            await asyncio.sleep(0.01)
        assert not stopping.done()
        for request in sound[len(sound) // 2 :]:
            await call.write(request)
        await call.done_writing()
        assert word_errors(finals(await rest_of(call))[0], SAD) <= 2
        await stopping
