"""What words over a reply mean."""

from __future__ import annotations

import pytest

from oviya.v1 import stt_pb2
from services.gateway.turn.overlap import Overlap, OverlapJudge, Words

REPLY = "You feel sad. It sounds like you had a very long day at work, and nobody listened."


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("", Overlap.NO_WORDS),
        ("...", Overlap.NO_WORDS),
        ("Ha ha ha.", Overlap.NO_WORDS),
        ("Hahahaha", Overlap.NO_WORDS),
        ("(coughs)", Overlap.NO_WORDS),
        ("Mm-hmm.", Overlap.BACKCHANNEL),
        ("Mmmmm", Overlap.BACKCHANNEL),
        ("Hmm, hm", Overlap.BACKCHANNEL),
        ("Uh-huh.", Overlap.BACKCHANNEL),
        ("Yeah, yeah, okay.", Overlap.BACKCHANNEL),
        ("Oh, I see. That makes sense.", Overlap.BACKCHANNEL),
        ("That\u2019s right", Overlap.BACKCHANNEL),
        ("Ja, genau.", Overlap.BACKCHANNEL),
        ("Oh, haha, right", Overlap.BACKCHANNEL),
        ("Stop!", Overlap.STOP),
        ("Okay, stop, please.", Overlap.STOP),
        ("No, no, no.", Overlap.STOP),
        ("Wait a minute, Oviya.", Overlap.STOP),
        ("Hold on.", Overlap.STOP),
        ("Computer, be silent", Overlap.STOP),
        ("Wait, what did you say?", Overlap.SPEECH),
        ("Right, but why?", Overlap.SPEECH),
        ("No.", Overlap.SPEECH),
        ("What time is it?", Overlap.SPEECH),
        ("Don't stop there tell me more", Overlap.SPEECH),
        ("Yeah I bought eggs", Overlap.SPEECH),
    ],
)
def test_words_over_a_reply(said, means):
    assert OverlapJudge(["Computer, be silent"]).judge(Words(said), REPLY) is means


@pytest.mark.parametrize(
    ("said", "is_echo"),
    [
        ("It sounds like you had a very long day", True),
        ("It sounds like you hat a fairy long day", True),  # as a recognizer hears an echo
        ("long day", True),
        ("very long day at work and no one listened", True),
        ("How long is the day?", False),
        ("I never listened to anybody at work before", False),
        ("Tell me about the weather in Paris", False),
        ("day long", False),
    ],
)
def test_the_words_of_the_reply_are_its_echo(said, is_echo):
    assert (OverlapJudge().judge(Words(said), REPLY) is Overlap.ECHO) is is_echo
    assert OverlapJudge().judge(Words(said), "") is Overlap.SPEECH


def test_a_text_of_any_length_is_judged():
    long = "a bc " * 1600
    assert OverlapJudge().judge(Words(long), long) is Overlap.ECHO
    assert OverlapJudge().judge(Words("mm " * 2700), long) is Overlap.BACKCHANNEL


@pytest.mark.parametrize(
    ("said", "confidence", "means"),
    [
        ("See you all", 0.2, Overlap.NO_WORDS),
        ("See you all", 0.5, Overlap.SPEECH),
        ("See you all", None, Overlap.SPEECH),  # a partial
        ("Stop", 0.1, Overlap.STOP),
        ("Mm-hmm", 0.1, Overlap.BACKCHANNEL),
    ],
)
def test_words_that_are_hardly_heard_stop_nothing_unless_they_ask_for_it(said, confidence, means):
    assert OverlapJudge().judge(Words(said, confidence)) is means


def test_the_confidence_of_a_transcript_is_the_mean_of_its_words():
    words = [stt_pb2.Word(text="see", confidence=0.25), stt_pb2.Word(text="you", confidence=0.75)]
    assert Words.of(stt_pb2.Transcript(text="See you.", words=words)) == Words("See you.", 0.5)
    assert Words.of(stt_pb2.Transcript(text="See you")) == Words("See you", None)
