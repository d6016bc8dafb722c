"""Sessions, decodes and stalls: who is admitted, who waits, who is disconnected."""

from __future__ import annotations

import asyncio
import threading

import grpc
import numpy as np
import pytest

from oviya.audio.pcm import F32LE
from oviya.errors import Busy, Timeout
from oviya.status import error_from_rpc
from oviya.v1 import stt_pb2, stt_pb2_grpc
from services.stt.decode.queue import DecodeQueue
from services.stt.decode.whisper import WhisperRecognizer
from tests.support.exchange import exchange, rest_of
from tests.support.metrics import metric
from tests.support.speech import LONELY, SAD, silence, speak, word_errors
from tests.support.stt_calls import (
    END_TURN,
    THANKS,
    TIMEOUT_S,
    assert_hears,
    audio,
    config,
    ends,
    failure,
    finals,
    pieces,
    sentence,
    serving,
    transcribe,
)
from tests.support.stt_engine import count_only_sound
from tests.support.waiting import until


async def test_a_full_service_rejects_at_once_and_admits_later():
    async with serving(sessions=1) as (served, stub):
        first = stub.Transcribe(timeout=TIMEOUT_S)
        for request in (config(), *pieces(sentence())):
            await first.write(request)
        await first.read()  # it is admitted
        async with grpc.aio.insecure_channel(served.address) as channel:  # without a retry policy
            code, error = await failure(stt_pb2_grpc.SttServiceStub(channel), config())
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert isinstance(error, Busy)
        assert error.retry_after_s > 0
        await first.done_writing()
        assert word_errors(finals(await rest_of(first))[0], SAD) <= 2
        await assert_hears(stub)


async def listen_in_silence(stub, stop):
    """An open microphone in a quiet room; returns what the service sent."""
    call = stub.Transcribe(timeout=TIMEOUT_S)
    await call.write(config())
    while not stop.is_set():
        await call.write(audio(bytes(3_200)))
        await asyncio.sleep(0.1)
    await call.done_writing()
    return await rest_of(call)


async def test_eight_quiet_callers_leave_the_recognizer_to_the_speaker():
    async with serving(sessions=64) as (_, stub):
        stop = asyncio.Event()
        quiet = [asyncio.create_task(listen_in_silence(stub, stop)) for _ in range(8)]
        await asyncio.sleep(0.5)
        for _ in range(2):
            assert word_errors(finals(await transcribe(stub, config(), *pieces(sentence())))[0], SAD) <= 2
        stop.set()
        assert await asyncio.gather(*quiet) == [[]] * 8


async def test_many_speakers_are_all_heard():
    async with serving(sessions=64, decode_wait_s=60.0) as (_, stub):
        said = [config(), *pieces(np.concatenate((silence(0.3), speak(THANKS), silence(1.2))))]
        heard = await asyncio.gather(*(transcribe(stub, *said) for _ in range(6)))
    assert [word_errors(finals(responses)[0], THANKS) <= 1 for responses in heard] == [True] * 6


async def test_a_speaker_whose_decode_waits_too_long_is_rejected_and_others_go_on(monkeypatch):
    entered, leave, queued, queues = threading.Event(), threading.Event(), [], []
    transcribe_now, submit = WhisperRecognizer.transcribe, DecodeQueue.submit

    def transcribe_slowly(self, requests):
        if requests[0].final and not entered.is_set():
            entered.set()
            assert leave.wait(TIMEOUT_S)
        return transcribe_now(self, requests)

    def submit_and_count(self, make_request, *, final):
        queued.append(final)
        queues[:] = [self]
        return submit(self, make_request, final=final)

    said = [config(), *pieces(np.concatenate((silence(0.3), speak(LONELY), silence(1.2))))]  # it has one final decode
    async with serving(sessions=64, decode_wait_s=60.0) as (_, stub):
        monkeypatch.setattr(WhisperRecognizer, "transcribe", transcribe_slowly)
        monkeypatch.setattr(DecodeQueue, "submit", submit_and_count)
        first = asyncio.create_task(transcribe(stub, *said))
        await until(entered.is_set)
        refused = metric("stt_decodes_refused_total")
        second = asyncio.create_task(failure(stub, *said))
        await until(lambda: queued.count(True) == 2)
        queues[0]._wait_s = 0.0  # only now, so that a busy machine refuses nobody else
        leave.set()
        code, error = await second
        queues[0]._wait_s = 60.0
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert isinstance(error, Busy)
        assert error.retry_after_s > 0
        assert metric("stt_decodes_refused_total") == refused + 1
        assert word_errors(finals(await first)[0], LONELY) == 0
        await assert_hears(stub)


async def test_a_caller_that_stops_sending_while_it_speaks_gets_its_words():
    async with serving(sessions=64, turn_stall_s=2.0) as (_, stub):
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
        for request in pieces(np.concatenate((speak(THANKS), silence(1.2)))):  # and can continue
            await stalled.write(request)
        await stalled.done_writing()
        assert word_errors(finals(await rest_of(stalled))[0], THANKS) <= 1


async def test_a_stream_in_which_nobody_speaks_is_ended(monkeypatch):
    async with serving(idle_s=0.5) as (_, stub):
        with pytest.raises(grpc.RpcError) as caught:
            await listen_in_silence_until_it_fails(stub)
        assert isinstance(error_from_rpc(caught.value, "stt"), Timeout)
        count_only_sound(monkeypatch)
        await assert_hears(stub)


async def listen_in_silence_until_it_fails(stub):
    async def send():
        yield config()
        while True:
            yield audio(bytes(3_200))
            yield END_TURN
            await asyncio.sleep(0.05)

    async for _ in exchange(stub.Transcribe(timeout=TIMEOUT_S), send()):
        pass


async def test_a_cancelled_call_frees_its_place():
    async with serving(sessions=1) as (_, stub):
        call = stub.Transcribe(timeout=TIMEOUT_S)
        for request in (config(), *pieces(speak(SAD))):
            await call.write(request)
        await call.read()
        call.cancel()
        await assert_hears(stub)


async def test_a_caller_that_stalls_is_disconnected():
    async with serving(stall_s=2.0) as (_, stub):
        call = stub.Transcribe(timeout=TIMEOUT_S)
        await call.write(config())
        with pytest.raises(grpc.RpcError) as caught:
            await call.read()
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert isinstance(error_from_rpc(caught.value, "stt"), Timeout)
        await assert_hears(stub)


async def test_a_session_that_is_too_long_gets_its_last_words_first(monkeypatch):
    count_only_sound(monkeypatch)
    async with serving(max_session_s=2.0) as (_, stub):
        responses = []

        async def collect():
            async for response in exchange(stub.Transcribe(timeout=TIMEOUT_S), (config(), *pieces(sentence()))):
                responses.append(response)

        with pytest.raises(grpc.RpcError) as caught:
            await collect()
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert ends(responses)[0].reason == stt_pb2.TURN_END_REASON_MAX_LENGTH
        assert len(finals(responses)[0].split()) >= 3


async def test_a_caller_that_outruns_the_decoder_is_held_back(stub):
    """The sound that was sent but not decoded stays within little more than the window of 1 MB."""
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

    call = stub.Transcribe(send(), timeout=TIMEOUT_S)
    async for response in call:
        ahead_bytes.append(sent_bytes - response.at.ToTimedelta().total_seconds() * rate_hz * 4)
        if len(ahead_bytes) == 20:
            break
    call.cancel()
    assert max(ahead_bytes) < window_bytes
    await assert_hears(stub)
