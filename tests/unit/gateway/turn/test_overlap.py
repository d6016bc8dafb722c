"""What words over a reply mean."""

from __future__ import annotations

import pytest

from services.gateway.turn.overlap import Overlap, OverlapJudge

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
    assert OverlapJudge(["Computer, be silent"]).judge(said, REPLY) is means


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
    assert (OverlapJudge().judge(said, REPLY) is Overlap.ECHO) is is_echo
    assert OverlapJudge().judge(said, "") is Overlap.SPEECH


def test_a_text_of_any_length_is_judged():
    long = "a bc " * 1600
    assert OverlapJudge().judge(long, long) is Overlap.ECHO
    assert OverlapJudge().judge("mm " * 2700, long) is Overlap.BACKCHANNEL
