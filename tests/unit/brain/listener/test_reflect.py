"""Turning pronouns round, and reading speech and typed text alike."""

from __future__ import annotations

import pytest

from services.brain.listener.listener import mirrored
from services.brain.listener.reflect import reflect
from services.brain.listener.utterance import UtteranceParser


@pytest.mark.parametrize(
    ("said", "given_back"),
    [
        ("i feel sad and lonely", "you feel sad and lonely"),
        ("i am sad", "you are sad"),
        ("i was sad", "you were sad"),
        ("it was sad", "it was sad"),
        ("i never was good at that", "you never were good at that"),
        ("am i wrong", "are you wrong"),
        ("my mother hates me", "your mother hates you"),
        ("the house is mine", "the house is yours"),
        ("i hurt myself", "you hurt yourself"),
        ("i love you", "you love me"),
        ("you hate me", "I hate you"),
        ("i think you are nice", "you think I am nice"),
        ("you were late", "I was late"),
        ("are you angry with me", "am I angry with you"),
        ("i want you to help me", "you want me to help you"),
        ("i like talking to you", "you like talking to me"),
        ("your voice is nice", "my voice is nice"),
        ("we had a fight", "you had a fight"),
        ("our house is cold", "your house is cold"),
        ("i'd rather stay", "you would rather stay"),
        ("when you lose somebody it hurts", "when you lose somebody it hurts"),
        ("he is taller than i am", "he is taller than you are"),
        ("i don't know what to do", "you don't know what to do"),
    ],
)
def test_pronouns_and_their_verbs_are_reflected(said, given_back):
    assert reflect(said) == given_back


def test_a_long_text_is_cut_at_a_clause_or_not_mirrored():
    assert (
        mirrored("sad and lonely because nobody in this whole big city ever calls me on the phone") == "sad and lonely"
    )
    assert mirrored("word " * 30) == ""
    assert mirrored("a bit nervous though") == "a bit nervous"


@pytest.fixture(scope="module")
def parser() -> UtteranceParser:
    return UtteranceParser(
        ["well", "um", "you know"], ["hello", "good morning"], {"😢": "i feel sad", "❤️": "i love you"}
    )


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("I'm NOT happy.", ("i am not happy",)),
        ("im not happy", ("i am not happy",)),
        ("I can not sleep", ("i can't sleep",)),
        ("i cannot sleep", ("i can't sleep",)),
        ("it's been hard", ("it has been hard",)),
        ("what\u2019s up", ("what is up",)),
        ("my sister's dog", ("my sister's dog",)),
        ("Dr. Smith said 3.5 hours. OK?", ("dr smith said 3.5 hours", "okay")),
        ("um well i feel sad", ("i feel sad",)),
        ("well", ("well",)),
        ("I feel 😢 sad", ("i feel sad",)),
        ("😢", ("i feel sad",)),
        ("❤", ("i love you",)),
        ("...", ()),
        ("   ", ()),
        ("\u200bhel\u200blo", ("hello",)),
    ],
)
def test_transcripts_and_typed_text_are_parsed_alike(parser, text, segments):
    assert parser.read(text).segments == segments


def test_a_greeting_before_the_rest_is_removed(parser):
    for text in ("hello i feel sad", "Hello! I feel sad."):
        utterance = parser.read(text)
        assert utterance.segments == ("i feel sad",)
        assert utterance.greeted
    assert parser.read("hello").segments == ("hello",)


def test_transcripts_without_full_stops_are_cut_into_segments(parser):
    segments = parser.read("word " * 1600).segments
    assert sum(len(segment.split()) for segment in segments) == 1600
    assert max(len(segment.split()) for segment in segments) <= 60
