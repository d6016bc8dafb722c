"""The language of a turn: from speech-to-text to the brain, and from its reply to the voice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oviya.v1 import conversation_pb2
from services.gateway import metrics
from tests.support.gateway_mesh import gateway_with, speech, wait_for_state
from tests.support.scripted_services import ScriptedBrain, ScriptedCsm, ScriptedMimi, ScriptedStt

AUTO, CSM, FALLBACK = conversation_pb2.VOICE_UNSPECIFIED, conversation_pb2.VOICE_CSM, conversation_pb2.VOICE_FALLBACK
REPLY = "Das freut mich, um 5 Uhr."


async def german_turn(*, replies_in: str, csm_speaks: tuple[str, ...] = ("en",), **config: Any) -> tuple[Any, Any, Any]:
    """A turn in German; returns what was heard, the brain and CSM."""
    stt, brain, csm = ScriptedStt("Mir geht es gut."), ScriptedBrain((REPLY, "happy")), ScriptedCsm()
    stt.language, brain.language, csm.languages = "de", replies_in, list(csm_speaks)
    async with gateway_with(stt, brain, csm, ScriptedMimi(), emotion_budget_s=2.0) as gateway:
        await wait_for_state(gateway.service, "csm", "serving")
        await wait_for_state(gateway.service, "mimi", "serving")
        return await gateway.converse(*speech(), **config), brain, csm


async def test_the_fallback_voice_reads_a_reply_in_a_language_that_the_checkpoint_does_not_speak():
    before = metrics.OTHER_LANGUAGES.labels("de")._value.get()
    heard, brain, csm = await german_turn(replies_in="de")
    (final,) = heard.of("final")
    assert (final.text, final.language) == ("Mir geht es gut.", "de")
    (request,) = brain.requests
    assert (request.text, request.language) == ("Mir geht es gut.", "de")
    (sentence,) = heard.of("reply_sentence")
    assert (sentence.voice, sentence.language, sentence.spoken) == (FALLBACK, "de", REPLY)  # the voice reads numbers
    (degraded,) = heard.of("degraded")
    assert degraded.service == "csm"
    assert degraded.message == "scripted-csm speaks English only; the fallback voice reads German (de)"
    assert metrics.OTHER_LANGUAGES.labels("de")._value.get() == before + 1
    assert not csm.requests
    assert np.abs(heard.sound()).max() > 0.05


async def test_words_that_are_not_english_are_not_judged_for_emotions():
    heard, brain, _ = await german_turn(replies_in="de")
    (feeling,) = heard.of("user_feeling")
    assert not feeling.HasField("text")
    assert brain.requests[0].user_emotion == "neutral"


async def test_the_checkpoint_speaks_an_english_reply_to_other_languages():
    heard, _, csm = await german_turn(replies_in="en")
    (sentence,) = heard.of("reply_sentence")
    assert (sentence.voice, sentence.language) == (CSM, "en")
    assert len(csm.requests) == 1
    assert not heard.of("degraded")


async def test_a_checkpoint_speaks_the_languages_of_its_card():
    heard, _, csm = await german_turn(replies_in="de", csm_speaks=("en", "de"))
    (sentence,) = heard.of("reply_sentence")
    assert (sentence.voice, sentence.language, len(csm.requests)) == (CSM, "de", 1)
    assert not heard.of("degraded")


@pytest.mark.parametrize(("csm_speaks", "voice"), [((), AUTO), (("en",), CSM)])
async def test_a_checkpoint_that_lists_no_languages_or_was_asked_for_speaks_all(csm_speaks, voice):
    heard, _, csm = await german_turn(replies_in="de", csm_speaks=csm_speaks, voice=voice)
    assert [sentence.voice for sentence in heard.of("reply_sentence")] == [CSM]
    assert len(csm.requests) == 1
    assert not heard.of("degraded")


async def test_without_a_checkpoint_each_reply_is_read_in_its_language():
    sounds = {}
    for language in ("de", "en"):
        stt, brain = ScriptedStt("Hallo."), ScriptedBrain(("Schade.", "neutral"))
        brain.language = language
        async with gateway_with(stt, brain) as gateway:
            heard = await gateway.converse(*speech(), voice=FALLBACK)
        assert [sentence.language for sentence in heard.of("reply_sentence")] == [language]
        sounds[language] = heard.sound()
    assert len(sounds["de"]) != len(sounds["en"])


async def test_the_aligner_of_speech_to_text_is_reported():
    stt = ScriptedStt()
    stt.aligner = "attention"
    async with gateway_with(stt) as gateway:
        await wait_for_state(gateway.service, "stt", "serving")
        services = gateway.service.readiness.report()["services"]
    assert services["stt"]["aligner"] == "attention"
    assert "aligner" not in services["brain"]
