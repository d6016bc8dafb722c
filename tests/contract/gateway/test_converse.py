"""Converse over a real port: turns, their order, latencies and context."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from oviya.audio.pcm import S16LE, encode_pcm
from oviya.durations import seconds
from oviya.v1 import brain_pb2, conversation_pb2, stt_pb2
from tests.support.gateway_mesh import END_TURN, gateway_with, speech, turn_events
from tests.support.scripted_services import ScriptedBrain, ScriptedCsm, ScriptedMimi, ScriptedStt
from tests.support.speech import silence, speak

CSM = conversation_pb2.VOICE_CSM


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


async def test_the_tone_that_answers_a_feeling_steers_brain_and_voice():
    stt, brain = ScriptedStt("i feel so sad today"), ScriptedBrain(("You feel sad.", "empathetic_sad"))
    async with gateway_with(stt, brain, emotion_budget_s=2.0) as gateway:
        heard = await gateway.converse(*speech(), "i am so sad")
    spoken, typed = heard.of("user_feeling")
    for feeling, request in zip((spoken, typed), brain.requests, strict=True):
        assert feeling.text.labels[0].label == "sadness"
        assert not feeling.HasField("voice")  # the script's speech is a constant: no voice
        assert not feeling.HasField("state")  # what was learned of a speaker is the gateway's to keep
        assert request.tone == feeling.tone
        assert request.tone.mirror == "empathetic_sad"
    # The plan shows as much of the emotion as the tone says; nothing is mixed in.
    plans = [sentence.plan for sentence in heard.of("reply_sentence")]
    for plan, feeling in zip(plans, (spoken, typed), strict=True):
        assert feeling.tone.blend == ""
        assert plan.pitch_scale == pytest.approx(1 - 0.15 * feeling.tone.intensity, abs=0.01)


async def test_the_sound_of_a_turn_is_judged_with_its_words():
    stt, brain = ScriptedStt("the train leaves at five"), ScriptedBrain()
    sound = np.concatenate([speak("the train leaves at five"), silence(0.3)])
    pcm = encode_pcm(sound, S16LE)
    async with gateway_with(stt, brain, emotion_budget_s=2.0) as gateway:
        judged = asyncio.Event()
        pieces = (pcm[start : start + 640] for start in range(0, len(pcm), 640))
        heard = await gateway.converse(
            *pieces, judged.wait(), until=lambda event: judged.set() if event.HasField("user_feeling") else None
        )
    (feeling,) = heard.of("user_feeling")
    assert feeling.HasField("voice")
    assert feeling.voice.labels[0].label


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
    assert 0.19 <= reached["turn_end"] < 0.2 + 0.8  # arrival times have a resolution of 10 ms
    assert reached["final_transcript"] - reached["turn_end"] < 0.8


@pytest.mark.parametrize("heard_text", ["", "...", "\u266a"])
async def test_typed_turns_with_history_and_empty_speech(heard_text):
    brain = ScriptedBrain(("Yes.", "neutral"), ("And no.", "neutral"))
    stt = ScriptedStt(heard_text)
    answered = asyncio.Event()
    async with gateway_with(brain, stt) as gateway:
        heard = await gateway.converse(
            "first",
            "second",
            answered.wait(),
            *speech(),
            until=lambda event: answered.set() if event.turn == 1 and event.HasField("reply_ended") else None,
        )
    assert turn_events(heard, 0)[-1] == turn_events(heard, 1)[-1] == "reply_ended"
    assert [request.text for request in brain.requests] == ["first", "second"]
    assert [(turn.role, turn.text) for turn in brain.requests[1].history] == [
        (brain_pb2.ROLE_USER, "first"), (brain_pb2.ROLE_ASSISTANT, "Yes. And no."),
    ]  # fmt: skip
    # speech without words ends like every turn, and without sound
    spoken = next(event.turn for event in heard.events if event.WhichOneof("event") == "turn_ended")
    assert spoken == 2
    assert turn_events(heard, 2) == ["speech_started", "partial", "final", "turn_ended", "reply_ended"]


async def test_older_turns_are_summarized_and_the_newest_stay_as_they_were():
    brain = ScriptedBrain(("Yes.", "neutral"))
    async with gateway_with(brain, history_turns=2, max_waiting_turns=10) as gateway:
        heard = await gateway.converse("a", "b", "c", "d")
    assert len(heard.of("reply_ended")) == 4
    last = brain.requests[-1]
    known = [*last.summary.split(), *(turn.text for turn in last.history)]
    assert known == ["a", "Yes.", "b", "Yes.", "c", "Yes."]  # each turn once: summarized, or as it was
    assert [turn.text for turn in last.history][-2:] == ["c", "Yes."]
    assert last.summary.startswith("a Yes.")
    assert [turn.text for turn in brain.summaries[0].turns] == ["a", "Yes."]


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


async def test_speech_over_a_reply_interrupts_it_and_is_answered():
    stt, brain = ScriptedStt("one", "two"), ScriptedBrain(("First.", "neutral"), ("Second.", "neutral"))
    sounding = asyncio.Event()

    async def before(index: int) -> None:
        if len(brain.requests) == 1 and index == 1:  # the first reply never goes on
            await asyncio.Event().wait()

    brain.before = before
    async with gateway_with(stt, brain) as gateway:
        heard = await gateway.converse(
            *speech(),
            sounding.wait(),
            *speech(),
            until=lambda event: sounding.set() if event.turn == 0 and event.HasField("audio") else None,
        )
    first, second = turn_events(heard, 0), turn_events(heard, 1)
    assert [kind for kind in first if kind != "user_emotion"][-3:] == ["audio", "reply_paused", "interrupted"]
    assert second[:2] == ["speech_started", "partial"]
    assert second[-1] == "reply_ended"
    order = [(event.turn, event.WhichOneof("event")) for event in heard.events]
    assert order.index((0, "interrupted")) < order.index((1, "final"))
    (interrupted,) = heard.of("interrupted")
    assert interrupted.reason == conversation_pb2.INTERRUPT_REASON_SPEECH
    assert interrupted.heard_text == "First."  # sent without a lead: all of it counts as played
    assert [request.text for request in brain.requests] == ["one", "two"]
    assert brain.requests[1].interruption.heard_text == "First."
    assert [turn.text for turn in brain.requests[1].history] == ["one", "First."]
    assert brain.cancelled.is_set()


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


async def test_csm_gets_the_turns_of_both_sides_as_context():
    csm, brain = ScriptedCsm(frames=4), ScriptedBrain(("One.", "neutral"), ("Two.", "neutral"))
    async with gateway_with(csm, ScriptedMimi(), brain, voice_context_turns=3) as gateway:
        heard = await gateway.converse("a", "b", "c", speaker=5)
    assert {sentence.voice for sentence in heard.of("reply_sentence")} == {CSM}
    assert not heard.of("degraded")[1:]  # only stt, which is not there
    assert [[segment.text for segment in request.context] for request in csm.requests] == [
        ["a."], ["a.", "One."],
        ["a.", "One.", "Two.", "b."], ["a.", "One.", "Two.", "b.", "One."],
        ["a.", "One.", "Two.", "b.", "One.", "Two.", "c."], ["a.", "One.", "Two.", "b.", "One.", "Two.", "c.", "One."],
    ]  # fmt: skip
    for segment in csm.requests[-1].context:
        expected = (0, 0) if segment.text in ("a.", "b.", "c.") else (5, 32)
        assert (segment.speaker, len(segment.audio.codes)) == expected
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
