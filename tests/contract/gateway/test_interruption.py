"""Speech over a reply, requests that stop or steer it, and what the next turn knows of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from oviya.durations import duration, seconds
from oviya.errors import InvalidInput
from oviya.v1 import conversation_pb2
from tests.support.gateway_mesh import Heard, failure_of, gateway_with, speech, turn_events
from tests.support.scripted_services import ScriptedBrain, ScriptedCsm, ScriptedMimi, ScriptedStt

Request = conversation_pb2.ConverseRequest
INTERRUPT = Request(interrupt=conversation_pb2.Interrupt())
LONG = ("One two three four five six seven eight nine ten.", "joy")
LEAD = Duration(seconds=1)


def played(turn: int, position_s: float) -> Request:
    return Request(played=conversation_pb2.Played(turn=turn, position=duration(position_s)))


class Talk:
    """A conversation with scripted services whose replies are ten words in eight seconds, sent a second ahead."""

    def __init__(self, *texts: str) -> None:
        self.stt, self.brain = ScriptedStt(*texts), ScriptedBrain(LONG)
        self.csm, self.mimi = ScriptedCsm(frames=100), ScriptedMimi()

    async def hold(self, *requests: Any, until: Callable[[Any], Any] | None = None, **config: Any) -> Heard:
        settings = config.pop("settings", {})
        async with gateway_with(self.stt, self.brain, self.csm, self.mimi, **settings) as gateway:
            config = {"voice": conversation_pb2.VOICE_CSM, "lead": LEAD, **config}
            return await gateway.converse(*requests, until=until, **config)


class Cue:
    """Is waited for as a request; set by the first event that fits."""

    def __init__(self, fits: Callable[[Any], bool]) -> None:
        self._fits = fits
        self._event = asyncio.Event()

    def see(self, event: Any) -> None:
        if self._fits(event):
            self._event.set()

    def __await__(self) -> Any:
        return self._event.wait().__await__()


def sounding(turn: int = 0, position_s: float = 1.5) -> Cue:
    """The sound of a reply from `position_s` on."""
    return Cue(lambda event: event.turn == turn and event.HasField("audio") and seconds(event.position) >= position_s)


def of_kind(kind: str, turn: int | None = None) -> Cue:
    return Cue(lambda event: event.HasField(kind) and turn in (None, event.turn))


def seen_by(*cues: Cue, end: Callable[[Any], bool] = lambda event: False) -> Callable[[Any], bool]:
    def until(event: Any) -> bool:
        for cue in cues:
            cue.see(event)
        return end(event)

    return until


def sound_after(heard: Heard, kind: str, turn: int = 0) -> list[Any]:
    """The pieces of a turn's sound that came after its last event of a kind."""
    events = [event for event in heard.events if event.turn == turn]
    at = max(index for index, event in enumerate(events) if event.WhichOneof("event") == kind)
    return [event for event in events[at:] if event.HasField("audio")]


async def test_words_over_a_reply_stop_it_where_it_was_heard_and_the_next_turn_knows():
    talk, first = Talk("what time is it"), sounding()
    answered = of_kind("reply_sentence", turn=1)
    heard = await talk.hold("hello", first, *speech(), answered, INTERRUPT, until=seen_by(first, answered))
    (paused,), (interrupted, _) = heard.of("reply_paused")[:1], heard.of("interrupted")
    assert interrupted.reason == conversation_pb2.INTERRUPT_REASON_SPEECH
    position_s = seconds(interrupted.position)
    assert 0.5 <= position_s <= 3.0  # a second behind what had been sent, or later on a slow machine
    assert position_s == pytest.approx(seconds(paused.position))
    words = interrupted.heard_text.split()
    assert words == LONG[0].split()[: len(words)]
    assert len(words) == pytest.approx(position_s / 0.8, abs=1.5)
    assert f"{interrupted.heard_text} {interrupted.unheard_text}" == LONG[0]
    assert sound_after(heard, "reply_paused") == sound_after(heard, "interrupted") == []
    second = talk.brain.requests[1]
    assert (second.text, second.interruption.heard_text) == ("what time is it", interrupted.heard_text)
    assert second.interruption.unheard_text == interrupted.unheard_text
    assert [turn.text for turn in second.history] == ["hello", interrupted.heard_text]
    assert turn_events(heard, 0)[-1] == "interrupted"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("mm hm", conversation_pb2.DROP_REASON_BACKCHANNEL),
        ("", conversation_pb2.DROP_REASON_NO_WORDS),
        ("again and again", conversation_pb2.DROP_REASON_ECHO),
    ],
)
async def test_what_is_no_interruption_neither_stops_the_reply_nor_becomes_a_turn(said, reason):
    talk, first, dropped = Talk(said), sounding(position_s=4.0), of_kind("turn_dropped")
    talk.brain.sentences = ((" and".join([" again"] * 5).strip(), "joy"),)  # the echo is in it wherever it is paused
    heard = await talk.hold("hello", first, *speech(), dropped, until=seen_by(first, dropped))
    (paused,), (resumed,) = heard.of("reply_paused"), heard.of("reply_resumed")
    assert 0 <= seconds(paused.position) - seconds(resumed.position) <= 1.3  # a word takes 0.7 to 1.2 s
    assert [event.reason for event in heard.of("turn_dropped")] == [reason]
    events = turn_events(heard, 0)
    assert events.index("reply_paused") < events.index("reply_resumed") < events.index("reply_ended")
    assert turn_events(heard, 1)[-1] == "turn_dropped"
    assert "final" not in turn_events(heard, 1)
    assert len(talk.brain.requests) == 1
    pieces = sound_after(heard, "reply_resumed")
    assert seconds(pieces[0].position) == pytest.approx(seconds(resumed.position))
    assert seconds(pieces[-1].position) == pytest.approx(8.0, abs=0.2)


async def test_the_callers_request_stops_a_reply_at_the_position_that_it_reported():
    talk, first, stopped = Talk(), sounding(), of_kind("interrupted")
    heard = await talk.hold("hello", first, played(0, 0.1), INTERRUPT, stopped, until=seen_by(first, stopped))
    (interrupted,) = heard.of("interrupted")
    assert interrupted.reason == conversation_pb2.INTERRUPT_REASON_REQUESTED
    assert seconds(interrupted.position) == pytest.approx(0.1, abs=0.5)
    assert heard.of("request_failed") == []
    assert turn_events(heard, 0)[-1] == "interrupted"


async def test_what_was_asked_in_vain_fails_by_itself():
    talk, first, failed = Talk(), sounding(), of_kind("reply_ended")
    heard = await talk.hold(
        INTERRUPT,
        played(7, 0.5),
        Request(set_emotion=conversation_pb2.SetEmotion(emotion="joyy")),
        Request(set_voice=conversation_pb2.SetVoice(speaker=70_000)),
        "hello",
        first,
        played(0, 60.0),
        until=seen_by(first, failed),
    )
    failures = heard.of("request_failed")
    assert sorted((one.type, one.field) for one in failures) == [
        ("InvalidInput", "emotion"), ("InvalidInput", "played.position"), ("InvalidInput", "played.turn"),
        ("InvalidInput", "set_voice.speaker"), ("NoReply", ""),
    ]  # fmt: skip
    assert all(one.message for one in failures)
    assert heard.of("reply_ended")


async def test_a_stop_phrase_of_the_session_stops_at_once_and_is_not_answered():
    talk, first, dropped = Talk("computer silence"), sounding(), of_kind("turn_dropped")
    heard = await talk.hold(
        "hello", first, *speech(), dropped, stop_phrases=["Computer, silence!"], until=seen_by(first, dropped)
    )
    assert len(heard.of("interrupted")) == 1
    assert [event.reason for event in heard.of("turn_dropped")] == [conversation_pb2.DROP_REASON_STOP_PHRASE]
    assert len(talk.brain.requests) == 1


@pytest.mark.parametrize("phrases", [["..."], ["x" * 65], ["stop"] * 21])
async def test_stop_phrases_have_limits(phrases):
    async with gateway_with() as gateway:
        error = await failure_of(gateway, stop_phrases=phrases)
    assert isinstance(error, InvalidInput)
    assert error.field.startswith("config.stop_phrases")


async def test_an_emotion_can_be_chosen_and_left_to_the_brain_again():
    talk = Talk()
    talk.csm.frames = 2
    heard = await talk.hold(
        Request(set_emotion=conversation_pb2.SetEmotion(emotion="melancholic")),
        "hello",
        lead=Duration(),
    )
    (sentence,) = heard.of("reply_sentence")
    assert sentence.plan.emotion == "melancholic"


async def test_every_event_of_a_turn_has_its_id():
    talk = Talk("what time is it")
    talk.csm.frames = 2
    heard = await talk.hold("hello", *speech(), lead=Duration())
    ids = {
        turn: {event.turn_id for event in heard.events if event.turn == turn and event.WhichOneof("event") not in
               ("session_started", "degraded")}
        for turn in (0, 1)
    }  # fmt: skip
    assert all(len(one) == 1 for one in ids.values())
    assert ids[0] != ids[1]
    assert all(re.fullmatch("[0-9a-f]{12}", one) for turn in ids.values() for one in turn)


async def test_sound_says_where_it_begins_and_words_are_told_as_they_are_spoken():
    talk = Talk()
    talk.csm.frames = 25
    heard = await talk.hold("hello")
    positions = [seconds(event.position) for event in heard.events if event.HasField("audio")]
    assert positions[0] == 0.0
    assert positions == sorted(set(positions))
    spoken = [event.chars for event in heard.of("words_spoken")]
    assert spoken == sorted(spoken)
    assert spoken[-1] == len(LONG[0])
    assert len(set(spoken)) >= 5


async def test_a_slow_brain_is_bridged_by_a_filler_that_is_not_remembered():
    talk = Talk()
    talk.csm.frames = 2

    async def slow(index: int) -> None:
        if len(talk.brain.requests) == 1 and index == 0:
            await asyncio.sleep(0.6)

    talk.brain.before = slow
    heard = await talk.hold("hello", "again", lead=Duration(), settings={"filler_after_s": 0.2})
    sentences = heard.of("reply_sentence")
    assert [sentence.filler for sentence in sentences[:2]] == [True, False]
    assert [turn.text for turn in talk.brain.requests[1].history] == ["hello", LONG[0]]


async def test_a_user_who_falls_silent_is_asked_once():
    talk, asked_turn = Talk("good morning"), of_kind("reply_ended", turn=1)
    talk.csm.frames = 2
    settings = {"silence_prompt_s": 0.5, "silence_prompt": "Hello?", "early_reply": False}
    heard = await talk.hold(*speech(), asked_turn, asyncio.sleep(1.5), settings=settings, until=seen_by(asked_turn))
    assert [sentence.text for sentence in heard.of("reply_sentence")] == [LONG[0], "Hello?"]
    assert turn_events(heard, 1) == ["reply_sentence", "audio", "reply_ended"]


async def test_a_typed_conversation_is_not_asked():
    talk = Talk()
    talk.csm.frames = 2
    settings = {"silence_prompt_s": 0.2}
    heard = await talk.hold("hello", asyncio.sleep(1.0), settings=settings, lead=Duration())
    assert len(heard.of("reply_sentence")) == 1


async def test_no_speech_is_lost_that_goes_on_before_the_reply_is_heard():
    talk = Talk("i went to the store", "and bought milk")
    talk.csm.frames = 2
    begun = asyncio.Event()

    async def hold_first(index: int) -> None:
        if len(talk.brain.requests) == 1:
            begun.set()
            await asyncio.Event().wait()

    talk.brain.before = hold_first
    heard = await talk.hold(*speech(), begun.wait(), *speech(), settings={"early_reply": False, "fillers": []})
    (interrupted,) = heard.of("interrupted")
    assert (interrupted.heard_text, seconds(interrupted.position)) == ("", 0.0)
    assert heard.of("reply_paused") == []  # nothing had been heard
    second = talk.brain.requests[1]
    assert [second.text, *(turn.text for turn in second.history)] == ["and bought milk", "i went to the store"]
    assert turn_events(heard, 1)[-1] == "reply_ended"
