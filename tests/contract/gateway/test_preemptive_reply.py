"""A reply is made at the likely end of a turn, with its first sound, and given or thrown away at its end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from oviya.durations import seconds
from oviya.errors import Unavailable
from oviya.v1 import conversation_pb2, emotion_pb2
from tests.support.gateway_mesh import gateway_with, speech
from tests.support.metrics import metric
from tests.support.scripted_services import ScriptedBrain, ScriptedCsm, ScriptedMimi, ScriptedStt

CSM = conversation_pb2.VOICE_CSM


def outcomes() -> tuple[float, float]:
    """How many preemptive replies were used and thrown away."""
    return tuple(metric("gateway_early_replies_total", outcome=outcome) for outcome in ("used", "thrown_away"))  # type: ignore[return-value]


def eager_stt(*texts: str) -> ScriptedStt:
    stt = ScriptedStt(*texts)
    stt.eager = True
    return stt


@pytest.fixture
def mesh() -> tuple[ScriptedStt, ScriptedBrain, ScriptedCsm, ScriptedMimi]:
    return eager_stt("hello there"), ScriptedBrain(("Hi.", "joy")), ScriptedCsm(), ScriptedMimi()


async def test_the_first_sentence_is_synthesized_before_the_turn_is_over_and_sent_after_it(mesh):
    _, brain, csm, _ = mesh
    used, thrown = outcomes()
    made = asyncio.Event()
    csm.before = lambda frame: made.set() if frame == 5 else None
    *loud, first, second = speech(0.3, 0.04)
    rest = speech(0.0, 0.3)
    async with gateway_with(*mesh) as gateway:
        heard = await gateway.converse(*loud, first, second, made.wait(), *rest, voice=CSM)
    kinds = heard.kinds()
    assert kinds.index("turn_ended") < kinds.index("reply_sentence") < kinds.index("audio")
    assert [request.text for request in brain.requests] == ["hello there"]
    assert [request.text for request in csm.requests] == ["Hi."]
    assert outcomes() == (used + 1, thrown)
    (ended,) = heard.of("reply_ended")
    reached = {stage.name: seconds(value) for stage, value in ended.latency.ListFields()}
    assert reached["first_sentence"] <= reached["turn_end"]
    assert heard.of("reply_ended")


async def test_it_is_thrown_away_when_the_user_goes_on(mesh):
    _, brain, csm, _ = mesh
    used, thrown = outcomes()
    asked = asyncio.Event()
    csm.before = lambda frame: asked.set() if frame == 2 else None
    async with gateway_with(*mesh) as gateway:
        heard = await gateway.converse(*speech(0.3, 0.1), asked.wait(), *speech(0.3, 0.3), voice=CSM)
    assert len(heard.of("reply_ended")) == len(heard.of("turn_ended")) == 1
    assert [sentence.text for sentence in heard.of("reply_sentence")] == ["Hi."]
    assert len(brain.requests) == len(csm.requests) == 2
    assert all(not request.history for request in brain.requests)  # what nobody heard is not remembered
    assert outcomes()[1] == thrown + 1
    assert outcomes()[0] <= used + 1


async def test_it_is_thrown_away_where_the_final_words_are_in_another_language(mesh):
    stt, brain, *_ = mesh
    stt.eager_language = "de"
    used, thrown = outcomes()
    async with gateway_with(*mesh) as gateway:
        heard = await gateway.converse(*speech(0.3, 0.3), voice=CSM)
    assert [request.language for request in brain.requests][-1] == "en"
    assert outcomes() == (used, thrown + 1)
    assert heard.of("reply_ended")


@pytest.mark.parametrize(("feeling", "is_used"), [("calm_supportive", True), ("empathetic_sad", False)])
async def test_it_is_used_unless_the_voice_said_something_else_than_the_words(mesh, feeling, is_used):
    _, brain, *_ = mesh
    used, thrown = outcomes()

    async def detect(text: str, sound: Any, speaker: Any, *, language: str = "") -> emotion_pb2.DetectResponse:
        name, intensity = ("calm_supportive", 0.4) if sound is None else (feeling, 0.9)
        tone = emotion_pb2.Tone(feeling=name, mirror=name, support=name, ask=name, intensity=intensity)
        return emotion_pb2.DetectResponse(emotions=[emotion_pb2.EmotionScore(emotion=name)], tone=tone)

    async with gateway_with(*mesh) as gateway:
        gateway.service.mesh.detect_emotion = detect
        heard = await gateway.converse(*speech(0.3, 0.3), voice=CSM)
    assert brain.requests[-1].user_emotion == feeling
    assert outcomes() == ((used + 1, thrown) if is_used else (used, thrown + 1))
    assert heard.of("reply_ended")


async def test_a_failure_of_a_preemptive_reply_is_the_failure_of_its_turn(mesh):
    _, brain, *_ = mesh
    brain.sentences = ()
    brain.fail = Unavailable("brain", "the script says so")
    async with gateway_with(*mesh) as gateway:
        heard = await gateway.converse(*speech(0.3, 0.3))
    (failed,) = heard.of("turn_failed")
    assert failed.type == "Unavailable"
    assert "think" in heard.of("reply_sentence")[0].text  # the apology
