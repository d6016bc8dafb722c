"""Converse over a real port: services that hang, die, or answer nonsense."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from oviya.audio.pcm import S16LE
from oviya.durations import seconds
from oviya.errors import Unavailable
from oviya.v1 import common_pb2, conversation_pb2, emotion_pb2
from services.gateway import metrics
from services.gateway.memory.memory import Memory
from services.gateway.turn.turn_handler import TurnHandler
from services.gateway.turn.utterance import Utterance
from services.gateway.voice.segment import ReplyAudio, SpeechOptions
from tests.support.gateway_mesh import END_TURN, gateway_with, speech, turn_events
from tests.support.scripted_services import ScriptedBrain, ScriptedCsm, ScriptedMimi, ScriptedStt


async def test_hanging_brain_fails_the_turn_with_a_spoken_apology_and_the_next_works():
    brain = ScriptedBrain()
    hang = True
    brain.before = lambda index: asyncio.Event().wait() if hang else None
    async with gateway_with(brain, brain_first_s=1.0) as gateway:

        async def heal():
            nonlocal hang
            async with asyncio.timeout(20):
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
    stt.ignores_speech = True
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


async def test_stream_that_ends_between_turns_is_opened_again_without_a_word():
    stt, brain = ScriptedStt("one", "two"), ScriptedBrain()
    stt.break_after = 5  # in the silence after the first turn, which ends with the fourth message
    quarter = [b"".join(speech(0.25, 0)), *[bytes(2 * 1600)] * 4]  # speech, then 0.4 s of silence
    async with gateway_with(stt, brain) as gateway:
        answered = asyncio.Event()
        heard = await gateway.converse(
            *quarter, answered.wait(), *quarter, until=lambda event: event.HasField("reply_ended") and answered.set()
        )
    assert stt.opened == 2
    assert [final.text for final in heard.of("final")] == ["one", "two"]
    assert "stt" not in [told.service for told in heard.of("degraded")]
    assert [seconds(started.start) for started in heard.of("speech_started")] == pytest.approx([0.0, 0.65], abs=0.03)
    assert len(heard.of("reply_ended")) == 2


async def test_interrupted_turn_is_remembered_as_far_as_it_was_sent():
    """What barge-in needs: a turn can be cancelled at any point, and the next one works."""
    csm = ScriptedCsm(frames=5)
    brain = ScriptedBrain(("One.", "neutral"), ("Two.", "neutral"))
    never, first_sent = asyncio.Event(), asyncio.Event()
    csm.before = lambda frame: never.wait() if len(csm.requests) == 2 else None
    sent: list[tuple[int, Any]] = []
    async with gateway_with(csm, ScriptedMimi(), brain) as gateway:
        service = gateway.service
        audio_format = common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=24_000)
        output = service.new_output(SpeechOptions(conversation_pb2.VOICE_UNSPECIFIED), audio_format)

        async def send(turn: int, event: Any) -> None:
            sent.append((turn, event))
            if sum(isinstance(event, ReplyAudio) for _, event in sent) == csm.frames:
                first_sent.set()

        memory = Memory("s", service.repository, service.mesh.summarize, verbatim=20)
        handler = TurnHandler(service.mesh, output, service.settings, memory=memory, send=send)
        running = asyncio.create_task(handler.respond(Utterance(0, "go", True, ended_at=0.0)))
        async with asyncio.timeout(20):
            await first_sent.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not any(isinstance(event, conversation_pb2.ReplyEnded) for _, event in sent)
        await handler.respond(Utterance(1, "go on", True, ended_at=0.0))
    assert [turn.text for turn in brain.requests[1].history] == ["go", "One."]
    assert isinstance(sent[-1][1], conversation_pb2.ReplyEnded)


async def test_fault_of_the_gateway_itself_fails_the_turn_alone():
    brain = ScriptedBrain()
    async with gateway_with(brain) as gateway:
        broken = gateway.service.mesh.reply

        def reply(request: Any) -> Any:
            if request.text == "break":
                raise ZeroDivisionError
            return broken(request)

        gateway.service.mesh.reply = reply
        heard = await gateway.converse("break", "work")
    assert [(detail.type, detail.message) for detail in heard.of("turn_failed")] == [("OviyaError", "internal error")]
    assert turn_events(heard, 1)[-1] == "reply_ended"


@pytest.mark.parametrize("how", ["raises", "says nothing"])
async def test_an_emotion_that_cannot_be_told_costs_the_emotion_alone(how, monkeypatch):
    async def detect(*_arguments, language):
        if how == "raises":
            raise ValueError("marker")
        return emotion_pb2.DetectResponse()

    brain = ScriptedBrain()
    async with gateway_with(brain) as gateway:
        monkeypatch.setattr(gateway.service.mesh, "detect_emotion", detect)
        kind = "ValueError" if how == "raises" else "IndexError"
        before = metrics.EMOTION_FAILED.labels(kind)._value.get()
        heard = await gateway.converse("one", "two")
        assert metrics.EMOTION_FAILED.labels(kind)._value.get() - before == 2
    assert [len(turn_events(heard, turn)) > 1 for turn in (0, 1)] == [True, True]
    assert len(heard.of("reply_ended")) == 2
    assert not heard.of("turn_failed")
    degraded = [told for told in heard.of("degraded") if told.service == "emotion"]
    assert degraded
    assert "marker" not in degraded[0].message
