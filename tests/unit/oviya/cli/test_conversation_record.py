"""What is recorded of replies that are paused, go on and are interrupted, and of turns that need no answer."""

from __future__ import annotations

import numpy as np

from oviya.cli.conversation_record import ConversationRecord
from oviya.cli.conversation_report import report_of
from oviya.cli.event_line import event_line
from oviya.client import (
    AudioChunk,
    Interrupted,
    ReplyPaused,
    ReplyResumed,
    Sentence,
    SessionStarted,
    TurnDropped,
)
from oviya.emotions.values import ProsodyPlan

RATE_HZ = 8_000
PLAN = ProsodyPlan("calm", "", "", 1.0, 1.0, 1.0, 1.0)
SOUND = np.linspace(0.1, 0.9, RATE_HZ).astype(np.float32)


def recorded(*events):
    record = ConversationRecord()
    for event in (SessionStarted(0, "s", RATE_HZ), *events):
        record.add(event, 0.0)
    return record


def chunk(begin_s: float, end_s: float) -> AudioChunk:
    begin, end = round(begin_s * RATE_HZ), round(end_s * RATE_HZ)
    return AudioChunk(1, SOUND[begin:end], RATE_HZ, begin_s, turn_id="0123456789ab")


def test_a_resumed_reply_goes_on_at_the_word_that_was_cut():
    first, second = (Sentence(1, index, text, PLAN, "csm") for index, text in enumerate(("So it goes.", "Well.")))
    record = recorded(
        first, chunk(0, 0.5), second, chunk(0.5, 0.75), ReplyPaused(1, 0.6), ReplyResumed(1, 0.5), second, chunk(0.5, 1)
    )
    turn = record.turns[1]
    assert len(turn.reply) == RATE_HZ
    np.testing.assert_array_equal(turn.reply[RATE_HZ // 2 :], SOUND[RATE_HZ // 2 :])  # nothing twice, nothing missing
    assert turn.sentences == [first, second]
    assert turn.turn_id == "0123456789ab"
    assert not turn.closed


def test_of_an_interrupted_reply_what_was_heard_remains():
    stop = Interrupted(1, "speech", "So it", "goes.", 0.25)
    record = recorded(Sentence(1, 0, "So it goes.", PLAN, "csm"), chunk(0, 0.5), chunk(0.5, 1), stop)
    turn = record.turns[1]
    assert turn.closed
    assert len(turn.reply) == RATE_HZ // 4
    assert turn.reply[-1] == 0  # it fades out
    report = report_of(record)
    assert report["reply"] == "So it"
    assert report["turns"][0]["interrupted"]["unheard_text"] == "goes."
    assert "So it" in str(event_line(stop))


def test_a_turn_that_needs_no_answer_is_closed_and_says_why():
    dropped = TurnDropped(2, "backchannel", "mm-hm")
    record = recorded(dropped)
    assert record.turns[2].closed
    assert report_of(record)["turns"][0]["dropped"]["reason"] == "backchannel"
    assert "a sign of listening" in str(event_line(dropped))
