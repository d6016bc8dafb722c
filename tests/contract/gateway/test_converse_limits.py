"""Converse over a real port: limits, callers who leave, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from oviya.audio.pcm import F32LE, S16LE
from oviya.errors import Busy, NotReady, OviyaError, Timeout
from oviya.status import error_from_rpc
from oviya.v1 import common_pb2, conversation_pb2
from oviya.writing import sending
from services.gateway import metrics
from tests.support.exchange import rest_of
from tests.support.gateway_mesh import END_TURN, GatewayUnderTest, Heard, failure_of, gateway_with
from tests.support.scripted_services import ScriptedBrain, ScriptedCsm, ScriptedMimi, ScriptedStt


async def test_sessions_are_counted_and_freed():
    brain = ScriptedBrain()
    async with gateway_with(brain, max_sessions=1) as gateway:
        go, started = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(gateway.converse(go.wait(), until=lambda event: started.set()))
        async with asyncio.timeout(20):
            await started.wait()
        error = await failure_of(gateway, "no room")
        assert isinstance(error, Busy)
        assert error.retry_after_s > 0
        go.set()
        await first
        assert (await gateway.converse("room")).of("reply_ended")


async def test_idle_and_long_sessions_end_with_a_typed_error():
    brain = ScriptedBrain()
    never = asyncio.Event()
    async with gateway_with(brain, session_idle_s=0.2) as gateway:
        error = await failure_of(gateway, never.wait())
        assert isinstance(error, Timeout)
        assert "0.2 s" in str(error)
    async with gateway_with(brain, session_max_s=5.0) as gateway:
        heard = Heard()
        with pytest.raises(aio.AioRpcError) as caught:
            await gateway.converse("finish this", never.wait(), until=heard.events.append)
        assert isinstance(error_from_rpc(caught.value, "gateway"), Timeout)
        assert heard.of("reply_ended")


async def keep_sending(sound: bytes, *, for_s: float) -> AsyncIterator[Any]:
    """Sends a piece of sound and an end of turn every 20 ms, as an open microphone does."""
    yield conversation_pb2.ConverseRequest(config=conversation_pb2.ConverseConfig())
    loop = asyncio.get_running_loop()
    until = loop.time() + for_s
    while loop.time() < until:
        yield conversation_pb2.ConverseRequest(audio=sound)
        yield END_TURN
        await asyncio.sleep(0.02)


async def test_a_silent_microphone_and_ends_of_turns_do_not_keep_a_session():
    async with gateway_with(ScriptedStt(), ScriptedBrain(), session_idle_s=0.5) as gateway:
        call = gateway.stub.Converse(timeout=60)
        with pytest.raises(aio.AioRpcError) as caught:
            async with sending(call, keep_sending(bytes(640), for_s=50.0)):
                await rest_of(call)
        error = error_from_rpc(caught.value, "gateway")
        assert isinstance(error, Timeout)
        assert "said or typed" in str(error)


async def test_who_speaks_without_a_pause_keeps_a_session():
    stt = ScriptedStt()
    stt.ignores_speech = True  # the turn does not end
    async with gateway_with(stt, ScriptedBrain(), session_idle_s=2.0, stt_stall_s=30.0) as gateway:
        loop = asyncio.get_running_loop()
        over = loop.time() + 4.5  # more than twice the time after which a silent session ends
        last = ""
        call = gateway.stub.Converse(timeout=60)
        async with sending(call, keep_sending(b"\1\1" * 320, for_s=60.0)):
            while not (last == "partial" and loop.time() >= over):
                event = await call.read()
                assert event is not aio.EOF
                last = event.WhichOneof("event")


async def test_caller_who_reads_nothing_is_ended():
    """The reply is longer than what gRPC buffers; nobody reads it."""
    brain = ScriptedBrain(*[("word " * 40, "neutral")] * 20)
    output = common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=48_000)
    async with gateway_with(ScriptedCsm(frames=60), ScriptedMimi(), brain, event_stall_s=0.3) as gateway:
        call = gateway.stub.Converse(timeout=30)
        await call.write(
            conversation_pb2.ConverseRequest(config=conversation_pb2.ConverseConfig(lead=Duration(), output=output))
        )
        assert (await call.read()).HasField("session_started")
        await call.write(conversation_pb2.ConverseRequest(text="go"))
        async with asyncio.timeout(20):
            await gateway.service.conversation.sessions.wait_until_none()
        with pytest.raises(aio.AioRpcError) as caught:
            await rest_of(call)
        assert isinstance(error_from_rpc(caught.value, "gateway"), Timeout)


async def test_caller_who_hangs_up_cancels_the_reply():
    brain, asked = ScriptedBrain(), asyncio.Event()

    async def think(index: int) -> None:
        asked.set()
        await asyncio.Event().wait()

    brain.before = think
    async with gateway_with(brain) as gateway:
        calling = asyncio.create_task(gateway.converse("go", asyncio.Event().wait()))
        async with asyncio.timeout(20):
            await asked.wait()
            calling.cancel()  # hangs up while the brain thinks
            await asyncio.gather(calling, return_exceptions=True)
            await brain.cancelled.wait()
            await gateway.service.conversation.sessions.wait_until_none()


async def test_drain_refuses_new_sessions_and_finishes_the_running_turn():
    brain = ScriptedBrain()
    go = asyncio.Event()
    brain.before = lambda index: go.wait()
    async with gateway_with(brain) as gateway:
        thinking = asyncio.Event()
        heard = Heard()

        def told(event: Any) -> bool:
            heard.events.append(event)
            if event.HasField("user_emotion"):
                thinking.set()
            return False

        running = asyncio.create_task(failure_of_told(gateway, told))
        async with asyncio.timeout(20):
            await thinking.wait()
        gateway.service.conversation.drain()
        assert not gateway.service.readiness.report()["ready"]
        assert isinstance(await failure_of(gateway, "too late"), NotReady)
        go.set()
        assert isinstance(await running, NotReady)
        assert heard.of("reply_ended")


async def failure_of_told(gateway: GatewayUnderTest, told: Any) -> OviyaError:
    with pytest.raises(aio.AioRpcError) as caught:
        await gateway.converse("finish this", asyncio.Event().wait(), until=told)
    return error_from_rpc(caught.value, "gateway")


async def test_output_format_of_the_session():
    output = common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=48_000)
    csm = ScriptedCsm(frames=5)
    async with gateway_with(csm, ScriptedMimi(), ScriptedBrain()) as gateway:
        heard = await gateway.converse("go", output=output)
    assert heard.of("session_started")[0].output == output
    assert len(heard.sound()) == 5 * 3840


async def test_one_client_s_sessions_are_limited_and_come_back():
    async with gateway_with(ScriptedBrain(), max_sessions=8, max_sessions_per_client=1) as gateway:
        go, started = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(gateway.converse(go.wait(), until=lambda event: started.set()))
        async with asyncio.timeout(20):
            await started.wait()
        error = await failure_of(gateway, "no room")
        assert isinstance(error, Busy)
        assert "127.0.0.1 holds all 1 sessions" in str(error)
        assert "GATEWAY_MAX_SESSIONS_PER_CLIENT" in str(error)
        go.set()
        await first
        assert (await gateway.converse("room")).of("reply_ended")


async def test_one_client_s_speaks_are_limited_and_come_back():
    async with gateway_with(ScriptedCsm(frames=60), ScriptedMimi(), max_sessions_per_client=1) as gateway:
        call = gateway.stub.Speak(conversation_pb2.SpeakRequest(text="One. Two."), timeout=30)
        await call.read()
        with pytest.raises(aio.AioRpcError) as caught:
            await gateway.speak("Three.")
        error = error_from_rpc(caught.value, "gateway")
        assert isinstance(error, Busy)
        assert "holds all 1 Speak calls" in str(error)
        call.cancel()
        async with asyncio.timeout(20):
            while True:
                try:
                    assert (await gateway.speak("Three.")).of("ended")
                    break
                except aio.AioRpcError:
                    await asyncio.sleep(0.05)


async def test_callers_behind_a_trusted_proxy_are_told_apart():
    settings = {"max_sessions_per_client": 1, "trusted_proxies": ["127.0.0.1"]}
    async with gateway_with(ScriptedBrain(), **settings) as gateway:
        calls = []

        async def open_session(client: str) -> Any:
            calls.append(gateway.stub.Converse(timeout=30, metadata=(("x-forwarded-for", client),)))
            await calls[-1].write(conversation_pb2.ConverseRequest(config=conversation_pb2.ConverseConfig()))
            return await calls[-1].read()

        assert (await open_session("203.0.113.1")).HasField("session_started")
        with pytest.raises(aio.AioRpcError) as caught:
            await open_session("203.0.113.1")
        assert isinstance(error_from_rpc(caught.value, "gateway"), Busy)
        assert (await open_session("203.0.113.2")).HasField("session_started")
        for call in calls:
            call.cancel()


async def test_sound_faster_than_allowed_is_held_back_and_not_lost():
    """Once 5 s worth of it came, at 40 times real time: the rest of 4 minutes takes a second."""
    brain = ScriptedBrain()
    before = metrics.PACED_SOUND._value.get()
    async with gateway_with(brain, max_audio_speed=40.0, stt_stall_s=1.0) as gateway:
        loop = asyncio.get_running_loop()
        since = loop.time()
        piece = bytes(2 * 16_000 * 16)
        heard = await gateway.converse(*[piece] * 15, "and then this")
        assert loop.time() - since > 0.9
        assert heard.of("reply_ended")
    assert metrics.PACED_SOUND._value.get() > before  # less than a second where sending took some of it
