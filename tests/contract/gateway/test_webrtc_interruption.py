"""A reply that is paused, resumed and interrupted, as a browser hears it: real aiortc peers on the loopback address."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest

from oviya.durations import duration, seconds
from oviya.v1 import common_pb2, conversation_pb2
from services.gateway.transport.webrtc.peer import MAX_LEAD_S
from services.gateway.transport.webrtc.playout_queue import FADE_S, RATE_HZ
from tests.support.echo_conversation import Scripted, peers_of
from tests.support.metrics import metric
from tests.support.waiting import until
from tests.support.webrtc_client import browser, dominant_hz, tone

OLD_HZ, NEW_HZ = 500, 1500
CONCEALED_S = 0.3
"""Most sound in seconds that a busy machine hears beyond what was sent: both sides conceal gaps by repeating what was
played.  The sound that must not be heard is longer."""


@asynccontextmanager
async def talk(**settings):
    """A browser in a scripted conversation."""
    script = Scripted()
    async with peers_of(script, **settings) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        await user.event("sessionStarted")
        yield script, user


def announce(script, turn, index):
    script.send(turn, reply_sentence=conversation_pb2.ReplySentence(index=index, text=f"sentence {index}"))


async def played(script, turn, at_least):
    await until(lambda: any(one == turn and seconds >= at_least for one, seconds in script.played))


def sound_of(user, hz):
    """Seconds of sound in which a tone is heard."""
    frames = [frame for frame in user.heard if np.abs(frame).max() > 0.02]
    return sum(len(frame) for frame in frames if dominant_hz(frame, RATE_HZ) == pytest.approx(hz, abs=100)) / RATE_HZ


async def test_the_configuration_is_that_of_a_caller_that_plays():
    async with talk(lead_s=0) as (script, _):
        assert seconds(script.config.lead) == MAX_LEAD_S  # without a limit, events would wait behind sound
        assert script.config.echo_cancellation == conversation_pb2.ECHO_CANCELLATION_CALLER


@pytest.mark.parametrize("event", ["reply_paused", "interrupted"])
async def test_a_cut_reply_ends_within_its_fade_and_what_is_dropped_is_not_announced(event):
    async with talk() as (script, user):
        announce(script, 3, 0)
        script.speak(tone(OLD_HZ, 2.0), turn=3)
        announce(script, 3, 1)
        script.speak(tone(OLD_HZ, 2.0), turn=3, at=2.0)
        await played(script, 3, 0.6)
        before = script.played[-1][1]
        values = {
            "reply_paused": conversation_pb2.ReplyPaused(),
            "interrupted": conversation_pb2.Interrupted(heard_text="sentence"),
        }
        script.send(3, **{event: values[event]})
        await user.event({"reply_paused": "replyPaused", "interrupted": "interrupted"}[event])
        await until(lambda: script.played[-1][1] > before)
        cut_at = script.played[-1][1]
        script.send(4, partial={"text": "what"})
        await user.event("partial")
        await asyncio.sleep(0.5)
        assert script.played[-1] == (3, cut_at)  # nothing more was played
        assert sound_of(user, OLD_HZ) == pytest.approx(cut_at, abs=FADE_S + CONCEALED_S)
        assert user.events.empty()  # the second sentence was not announced


async def test_no_sound_of_an_interrupted_reply_is_played_after_the_event():
    async with talk() as (script, user):
        announce(script, 0, 0)
        script.speak(tone(OLD_HZ, 1.0))
        await played(script, 0, 0.3)
        script.send(0, interrupted=conversation_pb2.Interrupted())
        script.speak(tone(OLD_HZ, 1.0), at=1.0)  # was on its way
        announce(script, 0, 1)
        await user.event("interrupted")
        announce(script, 1, 0)
        script.speak(tone(NEW_HZ, 0.4), turn=1)
        script.send(1, reply_ended=conversation_pb2.ReplyEnded())
        assert (await user.event("replySentence"))["turn"] == 1
        await user.event("replyEnded")
        old_s = max(position for turn, position in script.played if turn == 0)
        assert old_s < 0.9
        assert sound_of(user, OLD_HZ) <= old_s + CONCEALED_S
        await until(lambda: sound_of(user, NEW_HZ) > 0.3)


async def test_a_resumed_reply_goes_on_from_its_position_and_is_reported_from_there():
    async with talk() as (script, user):
        announce(script, 0, 0)
        script.speak(tone(OLD_HZ, 3.0))
        await played(script, 0, 0.5)
        script.send(0, reply_paused=conversation_pb2.ReplyPaused())
        await user.event("replyPaused")
        await asyncio.sleep(0.2)
        reports = len(script.played)
        script.send(0, reply_resumed=conversation_pb2.ReplyResumed(position=duration(0.25)))
        announce(script, 0, 0)
        script.speak(tone(NEW_HZ, 0.5), at=0.25)
        await user.event("replyResumed")
        await user.event("replySentence")
        await played(script, 0, 0.74)
        assert 0.25 < script.played[reports][1] <= 0.5
        assert script.played[-1] == (0, 0.749)
        script.send(0, reply_ended=conversation_pb2.ReplyEnded())
        await user.event("replyEnded")
        await until(lambda: sound_of(user, NEW_HZ) > 0.4)


async def test_words_are_passed_on_while_sound_waits():
    async with talk() as (script, user):
        announce(script, 0, 0)
        script.speak(tone(OLD_HZ, 4.0))
        await played(script, 0, 0.02)
        script.send(0, words_spoken=conversation_pb2.WordsSpoken(index=0, chars=3))
        await user.event("wordsSpoken")
        assert script.played[-1][1] < 3.5


async def test_a_turn_that_fails_during_another_reply_is_reported_at_once():
    async with talk() as (script, user):
        announce(script, 0, 0)
        script.speak(tone(OLD_HZ, 4.0))
        await played(script, 0, 0.02)
        script.send(1, turn_failed=common_pb2.ErrorDetail(type="InvalidInput", message="nothing to say"))
        assert (await user.event("turnFailed"))["turn"] == 1
        assert script.played[-1][1] < 3.5


async def test_the_wait_after_a_filler_is_no_gap():
    before = metric("gateway_playout_underruns_total")
    async with talk() as (script, _):
        script.send(0, reply_sentence=conversation_pb2.ReplySentence(text="Let me think.", filler=True))
        script.speak(tone(OLD_HZ, 0.4))
        await played(script, 0, 0.399)
        await asyncio.sleep(0.2)
        announce(script, 0, 0)
        script.speak(tone(OLD_HZ, 0.4), at=0.4)
        await played(script, 0, 0.799)
    assert metric("gateway_playout_underruns_total") == before


async def test_what_the_page_asks_for_reaches_the_conversation():
    async with talk() as (script, user):
        user.send({"interrupt": {}})
        user.send({"setVoice": {"registered": "ann", "voiceToken": "secret"}})
        user.send({"setEmotion": {"emotion": "joy"}})
        user.send({"setVoice": {"clip": {}}})
        failed = (await user.event("requestFailed"))["requestFailed"]
        assert (failed["type"], failed["field"]) == ("InvalidInput", "set_voice.clip")
        await until(lambda: len(script.requests) == 3)
        kinds = [request.WhichOneof("request") for request in script.requests]
        assert kinds == ["interrupt", "set_voice", "set_emotion"]
