"""`Speak` while services are busy, missing, failing or hanging."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from oviya.errors import Busy, Unavailable
from oviya.status import error_from_rpc
from oviya.v1 import conversation_pb2
from tests.support.gateway_mesh import gateway_with
from tests.support.scripted_services import ScriptedCsm, ScriptedMimi

CSM, FALLBACK = conversation_pb2.VOICE_CSM, conversation_pb2.VOICE_FALLBACK


async def test_busy_csm_leaves_the_sentence_to_the_fallback():
    csm = ScriptedCsm()
    csm.fail = Busy("all slots are taken", retry_after_s=0.01)
    async with gateway_with(csm, ScriptedMimi()) as gateway:
        heard = await gateway.speak("One. Two.")
        with pytest.raises(aio.AioRpcError) as caught:
            await gateway.speak("One.", voice=CSM)
    assert {sentence.voice for sentence in heard.of("sentence")} == {FALLBACK}
    (degraded,) = heard.of("degraded")
    assert degraded.service == "csm"
    assert "slots are taken" in degraded.message
    assert isinstance(error_from_rpc(caught.value, "gateway"), Busy)


async def test_csm_that_dies_in_a_sentence_is_followed_by_the_fallback_from_its_beginning():
    csm = ScriptedCsm(frames=30)
    csm.fail, csm.fail_after = Unavailable("csm", "the script ends it"), 12
    heard_some = asyncio.Event()

    async def wait_until_heard(frame: int) -> None:
        if frame == 12:
            await heard_some.wait()

    csm.before = wait_until_heard
    async with gateway_with(csm, ScriptedMimi()) as gateway:
        request = conversation_pb2.SpeakRequest(text="One is here. Two.", lead=Duration())
        events = []
        async for event in gateway.stub.Speak(request, timeout=20):
            events.append(event)
            if event.WhichOneof("event") == "audio":
                heard_some.set()
    sentences = [event.sentence for event in events if event.WhichOneof("event") == "sentence"]
    assert [(sentence.index, sentence.voice) for sentence in sentences] == [(0, CSM), (0, FALLBACK), (1, FALLBACK)]
    assert sentences[0].text == sentences[1].text
    degraded = [event.degraded for event in events if event.WhichOneof("event") == "degraded"]
    assert [(told.service, "the script ends it" in told.message) for told in degraded] == [("csm", True)]


async def test_csm_that_dies_before_anything_is_sent_is_not_heard():
    csm = ScriptedCsm()
    csm.fail = Unavailable("csm", "the script ends it")
    async with gateway_with(csm, ScriptedMimi()) as gateway:
        reference = await gateway.speak("One is here.", voice=FALLBACK)
        heard = await gateway.speak("One is here.")
    assert [sentence.voice for sentence in heard.of("sentence")] == [FALLBACK]
    assert np.array_equal(heard.sound(), reference.sound())


async def test_hanging_csm_is_given_up_in_time():
    csm = ScriptedCsm()
    never = asyncio.Event()
    csm.before = lambda frame: never.wait()
    async with gateway_with(csm, ScriptedMimi(), csm_first_s=0.2) as gateway:
        heard = await gateway.speak("One.")
        never.set()
    assert [sentence.voice for sentence in heard.of("sentence")] == [FALLBACK]
    assert "0.2 s" in heard.of("degraded")[0].message


async def test_csm_that_makes_no_sound_counts_as_failed():
    async with gateway_with(ScriptedCsm(frames=0), ScriptedMimi()) as gateway:
        heard = await gateway.speak("One.")
    assert [sentence.voice for sentence in heard.of("sentence")] == [FALLBACK]
    assert "no sound" in heard.of("degraded")[0].message


async def test_missing_mimi_is_named():
    async with gateway_with(ScriptedCsm()) as gateway:
        heard = await gateway.speak("One.")
        with pytest.raises(aio.AioRpcError) as caught:
            await gateway.speak("One.", voice=CSM)
    assert [degraded.service for degraded in heard.of("degraded")] == ["mimi"]
    error = error_from_rpc(caught.value, "gateway")
    assert isinstance(error, Unavailable)
    assert error.service == "mimi"


async def test_failing_mimi_is_named():
    mimi = ScriptedMimi()
    mimi.fail = Busy("no stream is free", retry_after_s=0.01)
    async with gateway_with(ScriptedCsm(), mimi) as gateway:
        heard = await gateway.speak("One.")
    assert "no stream is free" in heard.of("degraded")[0].message
    assert [sentence.voice for sentence in heard.of("sentence")] == [FALLBACK]


async def test_missing_emotion_service_is_reported_once_and_the_text_is_spoken_neutrally():
    async with gateway_with(emotion=False) as gateway:
        heard = await gateway.speak("One. Two. Three.", emotion="joy", voice=FALLBACK)
    assert [degraded.service for degraded in heard.of("degraded")] == ["emotion"]
    assert {sentence.plan.emotion for sentence in heard.of("sentence")} == {"neutral"}
    assert len(heard.of("sentence")) == 3
