"""Which turns are not over."""

from __future__ import annotations

from oviya.cli.chatting.open_turns import OpenTurns
from oviya.client import Interrupted, Latency, ReplyEnded, Sentence, SpeechStarted, TurnDropped, TurnFailed
from oviya.emotions.values import ProsodyPlan
from oviya.errors import Busy

PLAN = ProsodyPlan("calm", "", "", 1.0, 1.0, 1.0, 1.0)


def test_speech_over_a_reply_is_a_turn_beside_it():
    turns = OpenTurns()
    turns.follow(SpeechStarted(0, 0.0))
    turns.follow(Sentence(0, 0, "Well.", PLAN, "csm"))
    turns.follow(SpeechStarted(1, 2.0))
    turns.follow(TurnDropped(1, "backchannel", "mm-hm"))
    assert turns.speaking == 0
    assert not turns.all_over
    turns.follow(Interrupted(0, "requested", "", "", 0.5))
    assert turns.speaking is None
    assert turns.all_over


def test_typed_turns_are_counted_before_their_number_is_known():
    turns = OpenTurns()
    turns.text_sent()
    turns.text_sent()
    turns.follow(SpeechStarted(1, 0.0))
    turns.follow(ReplyEnded(0, 1.0, Latency()))
    turns.follow(TurnFailed(1, Busy("full", retry_after_s=1)))
    assert not turns.all_over
    turns.follow(ReplyEnded(2, 1.0, Latency()))
    assert turns.all_over
