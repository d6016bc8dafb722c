"""What is done to the running reply, and reported, when the user speaks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from oviya.errors import InvalidInput
from services.gateway.turn.overlap import Words
from services.gateway.turn.running_reply import RunningReply
from services.gateway.turn.turn_taking import TurnTaking
from services.gateway.voice.speech_handle import SpeechState
from tests.support.segments import new_speech, say, start

pytestmark = pytest.mark.virtual_time


class Told:
    """Keeps the names of events."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def __call__(self, turn: int, name: str, event: Any) -> None:
        self.events.append(name)


async def test_a_reply_that_begins_while_the_user_speaks_waits_until_they_have_ended():
    reply, told = RunningReply(), Told()
    taking = TurnTaking(reply, told)
    await taking.speech_started(1)
    with taking.replying(), reply.of_turn(0):
        speech, sent = new_speech()
        start(speech, lambda speech: say(speech, "Fine.", 1.0))
        reply.begin(speech)
        await asyncio.sleep(1.0)
        assert sent.events == []
        assert await taking.speech_ended(1, Words("and you?"))
        await speech.wait()
    assert sent.sentences == ["Fine."]
    assert told.events == []  # nothing of the reply had been sent


async def test_a_reply_that_waited_for_nothing_leaves_the_next_one_running():
    reply = RunningReply()
    taking = TurnTaking(reply, Told())
    await taking.speech_started(1)
    with taking.replying():
        pass  # a turn without words
    await taking.speech_ended(1, Words("hello"))
    with taking.replying(), reply.of_turn(1):
        assert not reply.is_paused


async def test_nothing_is_reported_of_a_reply_that_has_been_played():
    reply, told = RunningReply(), Told()
    taking = TurnTaking(reply, told)
    with taking.replying(), reply.of_turn(0):
        speech, _ = new_speech()
        start(speech, lambda speech: say(speech, "Fine.", 1.0))
        reply.begin(speech)
        await speech.wait()
        assert speech.state is SpeechState.DONE
        await taking.speech_started(1)  # while its end is being reported
        await taking.speech_ended(1, Words(""))
        assert speech.sent_s == pytest.approx(1.0)
    assert told.events == ["turn_dropped"]


@pytest.mark.parametrize("position_s", [-1e9, -0.001, 1.5])
async def test_a_report_of_a_position_that_was_not_sent_is_refused(position_s):
    reply = RunningReply()
    with reply.of_turn(0):
        speech, _ = new_speech()
        start(speech, lambda speech: say(speech, "Fine.", 1.0))
        reply.begin(speech)
        await asyncio.sleep(0.5)
        with pytest.raises(InvalidInput, match=r"played\.position"):
            reply.report_played(0, position_s)
        await speech.wait()
        assert asyncio.get_running_loop().time() == pytest.approx(1.0)
