"""Converse over a real port: turns, their order, latencies, limits, bad input and faults."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from oviya.audio.pcm import F32LE, S16LE
from oviya.errors import Busy, InvalidInput, NotReady, OviyaError, Timeout, Unavailable
from oviya.status import error_from_rpc
from oviya.v1 import brain_pb2, common_pb2, conversation_pb2, stt_pb2
from tests.gateway_mesh import (
    END_TURN,
    GatewayUnderTest,
    Heard,
    ScriptedBrain,
    ScriptedCsm,
    ScriptedMimi,
    ScriptedStt,
    gateway_with,
    speech,
)

CSM, FALLBACK = conversation_pb2.VOICE_CSM, conversation_pb2.VOICE_FALLBACK


def seconds(duration: Duration) -> float:
    return duration.ToTimedelta().total_seconds()


def turn_events(heard: Heard, turn: int) -> list[str]:
    """The kinds of a turn's events, audio once in a row, without degraded modes."""
    kinds = [event.WhichOneof("event") for event in heard.events if event.turn == turn]
    kinds = [kind for kind in kinds if kind not in ("session_started", "degraded")]
    return [kind for at, kind in enumerate(kinds) if kind not in ("audio", "partial") or kinds[at - 1] != kind]


async def failure_of(gateway: GatewayUnderTest, *requests: Any, **config: Any) -> OviyaError:
    with pytest.raises(aio.AioRpcError) as caught:
        await gateway.converse(*requests, **config)
    return error_from_rpc(caught.value, "gateway")


async def test_spoken_turn_end_to_end():
    stt, brain = ScriptedStt("i feel sad today"), ScriptedBrain(("You feel sad.", "empathetic_sad"), ("Why?", "calm"))
    async with gateway_with(stt, brain) as gateway:
        heard = await gateway.converse(*speech(), session_id="me")
    (started,) = heard.of("session_started")
    assert (started.session_id, started.output.sample_rate_hz) == ("me", 24_000)
    assert [degraded.service for degraded in heard.of("degraded")] == ["csm", "mimi"]
    events = turn_events(heard, 0)
    emotion = events.index("user_emotion")  # it may come at any time before the end
    assert [kind for kind in events if kind != "user_emotion"] == [
        "speech_started", "partial", "final", "turn_ended", "reply_sentence", "audio", "reply_sentence", "audio",
        "reply_ended",
    ]  # fmt: skip
    assert events.index("turn_ended") < emotion < events.index("reply_ended")
    assert heard.of("final")[0].text == "i feel sad today"
    assert [(s.text, s.plan.emotion) for s in heard.of("reply_sentence")] == [
        ("You feel sad.", "empathetic_sad"), ("Why?", "calm_supportive"),
    ]  # fmt: skip
    (request,) = brain.requests
    assert (request.text, request.session_id, len(request.history)) == ("i feel sad today", "me", 0)
    assert request.user_emotion == heard.of("user_emotion")[0].emotion != ""
    (ended,) = heard.of("reply_ended")
    assert seconds(ended.duration) == pytest.approx(len(heard.sound()) / 24_000, abs=0.001)


async def test_latencies_count_from_the_end_of_speech():
    """The silence is sent at real-time pace; the end of the speech is when its last sample came."""
    stt, brain = ScriptedStt(), ScriptedBrain()
    loop = asyncio.get_running_loop()
    sent_at = []

    async def mark() -> None:
        sent_at.append(loop.time())

    spoken, silent = speech(0.2, 0), speech(0, 0.4)
    paced = [part for piece in silent for part in (asyncio.sleep(0.02), piece)]  # as a microphone sends
    async with gateway_with(stt, brain) as gateway:
        heard = await gateway.converse(*spoken, mark(), *paced)
    (ended,) = heard.of("reply_ended")
    reached = {stage.name: seconds(value) for stage, value in ended.latency.ListFields()}
    assert list(reached) == ["turn_end", "final_transcript", "first_sentence", "first_audio"]
    assert sorted(reached.values()) == list(reached.values())
    # decided 0.2 s of silence after the speech, by the script; sleeping overshoots, never less
    assert 0.2 <= reached["turn_end"] < 0.2 + 0.3
    assert reached["final_transcript"] - reached["turn_end"] < 0.2


async def test_typed_turns_with_history_and_empty_speech():
    brain = ScriptedBrain(("Yes.", "neutral"), ("And no.", "neutral"))
    stt = ScriptedStt("")
    async with gateway_with(brain, stt) as gateway:
        heard = await gateway.converse("first", "second", *speech())
    assert turn_events(heard, 0)[-1] == turn_events(heard, 1)[-1] == "reply_ended"
    assert [request.text for request in brain.requests] == ["first", "second"]
    assert [(turn.role, turn.text) for turn in brain.requests[1].history] == [
        (brain_pb2.ROLE_USER, "first"), (brain_pb2.ROLE_ASSISTANT, "Yes. And no."),
    ]  # fmt: skip
    # speech without words ends like every turn, and without sound
    spoken = next(event.turn for event in heard.events if event.WhichOneof("event") == "turn_ended")
    assert spoken == 2
    assert turn_events(heard, 2) == ["speech_started", "partial", "final", "turn_ended", "reply_ended"]


async def test_history_is_bounded():
    brain = ScriptedBrain(("Yes.", "neutral"))
    async with gateway_with(brain, history_turns=3, max_waiting_turns=10) as gateway:
        await gateway.converse("a", "b", "c", "d")
    assert [turn.text for turn in brain.requests[-1].history] == ["Yes.", "c", "Yes."]


async def test_end_turn_does_not_wait_for_silence():
    stt, brain = ScriptedStt("now"), ScriptedBrain()
    got = asyncio.Event()
    async with gateway_with(stt, brain) as gateway:
        heard = await gateway.converse(
            *speech(0.3, 0), END_TURN, got.wait(), until=lambda event: event.HasField("reply_ended")
        )
    assert heard.of("turn_ended")[0].reason == stt_pb2.TURN_END_REASON_REQUESTED
    assert heard.of("reply_ended")


async def test_half_close_ends_the_running_turn_first():
    stt, brain = ScriptedStt("good bye"), ScriptedBrain()
    async with gateway_with(stt, brain) as gateway:
        heard = await gateway.converse(*speech(0.3, 0))
    assert heard.of("turn_ended")[0].reason == stt_pb2.TURN_END_REASON_STREAM_END
    assert turn_events(heard, 0)[-1] == "reply_ended"


async def test_speech_during_a_reply_is_heard_at_once_and_answered_after_it():
    stt, brain = ScriptedStt("one", "two"), ScriptedBrain(("First.", "neutral"), ("Second.", "neutral"))
    asked_twice = asyncio.Event()
    heard_second = asyncio.Event()

    async def before(index: int) -> None:
        if len(brain.requests) == 1 and index == 1:  # the first reply goes on once the second utterance is heard
            await heard_second.wait()

    brain.before = before
    heard = Heard()
    async with gateway_with(stt, brain) as gateway:

        async def requests():
            config = conversation_pb2.ConverseConfig(lead=Duration())
            yield conversation_pb2.ConverseRequest(config=config)
            for piece in speech():
                yield conversation_pb2.ConverseRequest(audio=piece)
            await asked_twice.wait()
            for piece in speech():
                yield conversation_pb2.ConverseRequest(audio=piece)

        async for event in gateway.stub.Converse(requests(), timeout=20):
            heard.events.append(event)
            if event.turn == 0 and event.HasField("audio"):
                asked_twice.set()
            if event.turn == 1 and event.HasField("turn_ended"):
                heard_second.set()
    order = [(event.turn, event.WhichOneof("event")) for event in heard.events]
    assert order.index((1, "turn_ended")) < order.index((0, "reply_ended"))
    replies = [turn for turn, kind in order if kind in ("reply_sentence", "audio", "reply_ended")]
    assert replies == sorted(replies)
    assert [request.text for request in brain.requests] == ["one", "two"]
    assert heard.of("reply_ended")[1]


async def test_too_many_waiting_turns_fail_as_busy_and_the_others_are_answered():
    brain = ScriptedBrain()
    go = asyncio.Event()
    brain.before = lambda index: go.wait()
    async with gateway_with(brain, max_waiting_turns=2) as gateway:
        asked = asyncio.Event()

        async def then_go():
            await asked.wait()
            go.set()

        def told(event: Any) -> bool:
            if event.HasField("turn_failed"):
                asked.set()
            return False

        heard = await gateway.converse("a", "b", "c", "d", "e", then_go(), until=told)
    failed = [event.turn for event in heard.events if event.HasField("turn_failed")]
    assert {detail.type for detail in heard.of("turn_failed")} == {"Busy"}
    assert failed
    answered = [event.turn for event in heard.events if event.HasField("reply_ended")]
    assert sorted(failed + answered) == [0, 1, 2, 3, 4]


async def test_csm_keeps_its_own_sentences_as_context_over_turns():
    csm, brain = ScriptedCsm(frames=4), ScriptedBrain(("One.", "neutral"), ("Two.", "neutral"))
    async with gateway_with(csm, ScriptedMimi(), brain, voice_context_turns=3) as gateway:
        heard = await gateway.converse("a", "b", speaker=5)
    assert {sentence.voice for sentence in heard.of("reply_sentence")} == {CSM}
    assert not heard.of("degraded")[1:]  # only stt, which is not there
    assert [[segment.text for segment in request.context] for request in csm.requests] == [
        [], ["One."], ["One.", "Two."], ["One.", "Two.", "One."],
    ]  # fmt: skip
    assert all(len(segment.audio.codes) == 32 for request in csm.requests for segment in request.context)
    assert heard.of("reply_ended")[0].latency.HasField("first_frame")


async def test_next_sentence_is_made_while_one_is_sent():
    csm = ScriptedCsm(frames=8)
    brain = ScriptedBrain(("One.", "neutral"), ("Two.", "neutral"), ("Three.", "neutral"))
    async with gateway_with(csm, ScriptedMimi(), brain) as gateway:
        lead = Duration()
        lead.FromMilliseconds(100)
        made = []  # sentences that CSM was asked for when each sentence's first sound came

        def told(event: Any) -> None:
            if event.HasField("reply_sentence"):
                made.append(len(csm.requests))

        heard = await gateway.converse("go", lead=lead, until=told)
    assert len(heard.of("reply_sentence")) == 3
    assert made[1] >= 2
    assert made[0] <= 2  # one ahead, not all


# --- Bad input --------------------------------------------------------------------------------------------------------


def request(**fields: Any) -> conversation_pb2.ConverseRequest:
    return conversation_pb2.ConverseRequest(**fields)


UNKNOWN: Any = 5
NAN = np.array([0, np.nan], "<f4").tobytes()
F32 = common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=16_000)


@pytest.mark.parametrize(
    ("config", "requests", "field"),
    [
        ({"input": common_pb2.AudioFormat(sample_rate_hz=7_000)}, [], "config.input.sample_rate_hz"),
        ({"input": common_pb2.AudioFormat(sample_rate_hz=96_000)}, [], "config.input.sample_rate_hz"),
        ({"output": common_pb2.AudioFormat(encoding=UNKNOWN, sample_rate_hz=8_000)}, [], "config.output.encoding"),
        ({"session_id": "x" * 129}, [], "config.session_id"),
        ({"session_id": "a\x1bb"}, [], "config.session_id"),
        ({"speaker": 70_000}, [], "config.speaker"),
        ({"voice": 3}, [], "config.voice"),
        ({"lead": Duration(seconds=-2)}, [], "config.lead"),
        ({}, [request(audio=b"\0\0\0")], "audio"),
        ({}, [request(audio=bytes(1 << 20) + b"\0\0")], "audio"),
        ({"input": F32}, [request(audio=NAN)], "audio[1]"),
        ({}, [request(text="")], "text"),
        ({}, [request(text="b" * 1_000_000)], "text"),
        ({}, [request(config=conversation_pb2.ConverseConfig())], "config"),
        ({}, [request()], "request"),
    ],
)
async def test_bad_input_names_the_field_and_others_are_not_disturbed(config, requests, field):
    brain = ScriptedBrain()
    async with gateway_with(brain, ScriptedStt()) as gateway:
        go = asyncio.Event()
        other = asyncio.create_task(gateway.converse(go.wait(), "still here"))
        error = await failure_of(gateway, *requests, **config)
        assert isinstance(error, InvalidInput)
        assert error.field == field
        assert error.limit
        go.set()
        assert (await other).of("reply_ended")
        assert (await gateway.converse("and the next")).of("reply_ended")


async def test_a_stream_must_begin_with_its_configuration():
    async with gateway_with(session_start_s=0.1) as gateway:

        async def nothing():
            for none in ():
                yield none

        async def audio_first():
            yield request(audio=b"\0\0")

        for requests, kind in ((nothing(), InvalidInput), (audio_first(), InvalidInput), (None, Timeout)):
            with pytest.raises(aio.AioRpcError) as caught:
                async for _ in gateway.stub.Converse(requests, timeout=10):
                    pass
            assert isinstance(error_from_rpc(caught.value, "gateway"), kind)


async def test_ten_minutes_of_silence_then_a_turn():
    stt, brain = ScriptedStt("at last"), ScriptedBrain()
    second = bytes(2 * 16_000)
    async with gateway_with(stt, brain) as gateway:
        heard = await gateway.converse(*[second] * 600, *speech())
    assert heard.of("final")[0].text == "at last"
    assert seconds(heard.of("speech_started")[0].start) == pytest.approx(600, abs=0.1)
    assert seconds(heard.of("turn_ended")[0].speech_end) == pytest.approx(600.5, abs=0.1)
    assert heard.of("reply_ended")


# --- Faults -----------------------------------------------------------------------------------------------------------


async def test_hanging_brain_fails_the_turn_with_a_spoken_apology_and_the_next_works():
    brain = ScriptedBrain()
    hang = True
    brain.before = lambda index: asyncio.Event().wait() if hang else None
    async with gateway_with(brain, brain_first_s=0.2) as gateway:

        async def heal():
            nonlocal hang
            async with asyncio.timeout(5):
                await brain.cancelled.wait()
            hang = False

        heard = await gateway.converse("hello?", heal(), "and now?")
    (failed,) = heard.of("turn_failed")
    assert failed.type == "Timeout"
    assert "brain" in failed.message
    assert turn_events(heard, 0)[-3:] == ["reply_sentence", "audio", "turn_failed"]
    assert turn_events(heard, 1)[-1] == "reply_ended"
    # the apology is not remembered as an answer
    assert [turn.text for turn in brain.requests[1].history] == ["hello?"]


async def test_brain_that_dies_after_a_sentence_is_heard_that_far():
    brain = ScriptedBrain(("This much.", "neutral"))
    brain.fail = Unavailable("model", "the script ends it")
    async with gateway_with(brain) as gateway:
        heard = await gateway.converse("hello?", "again")
    assert turn_events(heard, 0)[-3:] == ["reply_sentence", "audio", "turn_failed"]
    assert [sentence.text for sentence in heard.of("reply_sentence")] == ["This much."] * 2
    assert heard.of("turn_failed")[0].type == "Unavailable"
    assert [turn.text for turn in brain.requests[1].history] == ["hello?", "This much."]


async def test_silent_apology_where_none_is_wanted():
    async with gateway_with(apology="") as gateway:
        heard = await gateway.converse("hello?")
    assert turn_events(heard, 0) == ["user_emotion", "turn_failed"]


async def test_endless_reply_is_cut_and_told():
    brain = ScriptedBrain(*[(f"Number {n}.", "neutral") for n in range(50)])
    async with gateway_with(ScriptedCsm(frames=1), ScriptedMimi(), brain, max_reply_sentences=3) as gateway:
        heard = await gateway.converse("go")
    assert len(heard.of("reply_sentence")) == 3
    assert [degraded.message for degraded in heard.of("degraded") if degraded.service == "brain"]
    assert heard.of("reply_ended")


async def test_long_and_strange_sentences_of_the_brain_are_spoken_in_pieces():
    brain = ScriptedBrain(("word " * 200, "no_such_feeling"), ("***", "neutral"), ("Done.", "neutral"))
    async with gateway_with(ScriptedCsm(frames=1), ScriptedMimi(), brain) as gateway:
        heard = await gateway.converse("go")
    texts = [sentence.text for sentence in heard.of("reply_sentence")]
    assert max(map(len, texts)) <= 240
    assert " ".join(texts) == "word " * 200 + "Done."
    assert {sentence.plan.emotion for sentence in heard.of("reply_sentence")} == {"neutral"}
    assert "no_such_feeling" in next(told.message for told in heard.of("degraded") if told.service == "brain")


async def test_slow_detection_does_not_delay_the_reply():
    brain = ScriptedBrain()
    async with gateway_with(brain, emotion=False) as gateway:
        loop = asyncio.get_running_loop()
        started = loop.time()
        heard = await gateway.converse("hello")
        assert loop.time() - started < 2
    assert brain.requests[0].user_emotion == ""
    assert [told.service for told in heard.of("degraded")].count("emotion") == 1
    assert heard.of("reply_ended")


async def test_speech_survives_a_stream_that_breaks():
    stt, brain = ScriptedStt("all of it"), ScriptedBrain()
    stt.break_after = 3
    async with gateway_with(stt, brain, stt_retry_s=0.02) as gateway:
        heard = await gateway.converse(*speech(2.0, 0.4))
    assert stt.opened == 2
    assert [final.text for final in heard.of("final")] == ["all of it"]
    assert len(heard.of("speech_started")) == 1
    assert seconds(heard.of("turn_ended")[0].speech_end) == pytest.approx(2.0, abs=0.05)
    assert "stt" in [told.service for told in heard.of("degraded")]
    assert turn_events(heard, 0)[-1] == "reply_ended"


async def test_deaf_recognizer_is_given_up_and_typed_turns_still_work():
    stt, brain = ScriptedStt(), ScriptedBrain()
    stt.deaf = True
    failed = asyncio.Event()

    def told(event: Any) -> bool:
        if event.HasField("turn_failed"):
            failed.set()
        return False

    async with gateway_with(stt, brain, stt_stall_s=0.2, stt_retry_s=0.02) as gateway:
        heard = await gateway.converse(*speech(), END_TURN, failed.wait(), "typed", until=told)
    assert heard.of("turn_failed")[0].type == "Timeout"
    assert turn_events(heard, 0)[-1] == "turn_failed"
    assert turn_events(heard, 1)[-1] == "reply_ended"


# --- Limits and the end -----------------------------------------------------------------------------------------------


async def test_sessions_are_counted_and_freed():
    brain = ScriptedBrain()
    async with gateway_with(brain, max_sessions=1) as gateway:
        go, started = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(gateway.converse(go.wait(), until=lambda event: started.set()))
        async with asyncio.timeout(5):
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
    async with gateway_with(brain, session_max_s=0.2) as gateway:
        heard = Heard()
        with pytest.raises(aio.AioRpcError) as caught:
            await gateway.converse("finish this", never.wait(), until=heard.events.append)
        assert isinstance(error_from_rpc(caught.value, "gateway"), Timeout)
        assert heard.of("reply_ended")


async def test_caller_who_reads_nothing_is_ended():
    """The reply is longer than what gRPC buffers; nobody reads it."""
    brain = ScriptedBrain(*[("word " * 40, "neutral")] * 20)
    output = common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=48_000)
    async with gateway_with(ScriptedCsm(frames=60), ScriptedMimi(), brain, event_stall_s=0.3) as gateway:
        call = gateway.stub.Converse(timeout=30)
        await call.write(request(config=conversation_pb2.ConverseConfig(lead=Duration(), output=output)))
        assert (await call.read()).HasField("session_started")
        await call.write(request(text="go"))
        async with asyncio.timeout(20):
            await gateway.service.conversation.wait_until_idle()
        with pytest.raises(aio.AioRpcError) as caught:
            while await call.read() is not aio.EOF:
                pass
        assert isinstance(error_from_rpc(caught.value, "gateway"), Timeout)


async def test_caller_who_hangs_up_cancels_the_reply():
    brain = ScriptedBrain()
    brain.before = lambda index: asyncio.Event().wait()
    async with gateway_with(brain) as gateway:
        await gateway.converse("go", asyncio.Event().wait(), until=lambda event: event.HasField("user_emotion"))
        async with asyncio.timeout(5):
            await brain.cancelled.wait()
            await gateway.service.conversation.wait_until_idle()


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
        async with asyncio.timeout(5):
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
