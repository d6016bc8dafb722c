"""Conversations with the listener."""

from __future__ import annotations

import re

import pytest

from services.brain.backend import Exchange, Turn
from services.brain.emotions import EMOTIONS
from services.brain.listener import Listener
from services.brain.listener.reply import MAX_SENTENCES, ReplyBuilder
from tests.support.listener_talk import Talk, answers, text_of


def test_the_demo_question_is_mirrored_and_something_humane_is_offered(listener):
    for reply in answers(listener, "what should i do when i feel sad and lonely"):
        assert "you feel sad and lonely" in text_of(reply).lower()
        assert reply[0].emotion == "empathetic_sad"
        assert len(reply) >= 2


@pytest.mark.parametrize(
    ("said", "given_back"),
    [
        ("i feel so hopeful about my new job", "hop|light on the horizon|turning"),
        ("I am worried about my son", "you are worried about your son|worr|noise|tense|not knowing"),
        ("my name is anna", "Anna"),
        ("i want to learn the piano", "learn the piano"),
        ("i wish i had more time", "you had more time"),
        ("i like painting", "painting"),
        ("my dog died yesterday", "dog|goodbye"),
        ("how do i stop worrying about money", "worrying about money"),
        ("i grew up in london", "London"),
        ("That's a different guy but I love Toni", "Toni"),
    ],
)
def test_the_users_words_are_mirrored(listener, said, given_back):
    for reply in answers(listener, said):
        assert re.search(given_back, text_of(reply), re.IGNORECASE), text_of(reply)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("hello", "hello|hi|welcome|hey"),
        ("good morning oviya", "hello|hi|welcome|hey"),
        ("thank you so much", "welcome|glad|happy|thank|pleasure|kind|did the hard|any time|good to hear"),
        ("goodbye", "goodbye|good to talk|sleep well|next time|go well|company|gentle|farewell"),
        ("who are you", "oviya|software|machine|program"),
        ("what is your name", "oviya"),
        ("are you human", "machine|program|software|not alive"),
        ("can you hear me", "hear|listening|clear|words arrive|here"),
        ("how do you work", "words|listen|patterns|hears|eliza"),
        ("how are you", "well|spirits|fine|complain"),
        ("do you love me", "judgement|your side|tell me|person|somebody|friend|honest"),
        ("i am sorry", "sorry|alright|harm|apologise|forgiven|worry|offended"),
        ("tell me a joke", r"\?"),
        ("what is the capital of france", "guess|know|facts|look that up|pass|wrong|ends"),
        ("what time is it", "clock|time|guess|now"),
        ("you are stupid", "sorry|take that|angry|missed|understand|answer|annoyed"),
        ("stop", "quiet|questions|time|wait|silent|wish|leave it|hold back|here"),
    ],
)
def test_social_talk_is_answered_in_kind(listener, said, expected):
    for reply in answers(listener, said):
        assert re.search(expected, text_of(reply), re.IGNORECASE), text_of(reply)


def test_state_is_in_the_request_so_that_any_replica_can_answer(listener):
    talk = Talk(listener, "a")
    other = Talk(Listener(), "a")
    for text in ("hello", "my name is leo", "i feel sad", "okay", "what is my name"):
        assert talk.say(text) == other.say(text)


def test_sessions_differ(listener):
    assert len({text_of(reply) for reply in answers(listener, "hello")}) > 3


@pytest.mark.parametrize(
    "said",
    [
        "a" * 8192,
        "i feel " * 1170,
        "i am not " * 910,
        "!" * 8192,
        "😭" * 4000,
        "\x00\ud7ff",
        "{name} {x}",
        "* [a|b] @pet",
        "no " * 2700,
    ],
)
def test_strange_input_gets_a_proper_reply(listener, said):
    reply = listener.answer(Exchange(said))
    assert 1 <= len(reply) <= MAX_SENTENCES
    for sentence in reply:
        assert len(sentence.text) < 400
        assert sentence.emotion in EMOTIONS


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("Yeah.", "yeah"),
        ("Mm-hmm.", "mm-hmm"),
        ("Okay, I guess so.", "okay i guess so"),
        ("Stop.", "stop"),
        ("I want to die.", "i want to die"),
        ("My name's Anna.", "my name's anna"),
        ("My mother died last week.", "my mother died last week"),
        ("I'm tired, but I can't sleep.", "i'm tired but i can't sleep"),
        ("Mr. Smith told me that I'm fired.", "mr smith told me that i'm fired"),
        ("Good morning, Oviya. How are you?", "good morning oviya how are you"),
    ],
)
def test_a_transcript_means_the_same_with_and_without_case_and_punctuation(listener, written, plain, monkeypatch):
    rules = []
    follow = ReplyBuilder.follow
    monkeypatch.setattr(
        ReplyBuilder, "follow", lambda self, shapes, rule: rules.append(rule) or follow(self, shapes, rule)
    )
    for text in (written, plain):
        listener.answer(Exchange(text, session_id="s"))
    assert rules[0] == rules[1] != "unheard"


def test_names_of_a_transcript_keep_their_capital_and_conjunctions_get_none(listener):
    said = answers(listener, "I want to go home And sleep beside Rex")
    mirrored = [text_of(reply) for reply in said if "home" in text_of(reply)]
    assert mirrored
    assert all("home and sleep beside Rex" in text for text in mirrored)


def test_the_longest_history_is_answered(listener):
    turns = [Turn("user", "i feel sad because " * 430), Turn("assistant", "I see. " * 1170)] * 200
    assert listener.answer(Exchange("what is my name", tuple(turns)))


async def test_the_listener_is_a_backend():
    listener = Listener()
    await listener.warm()
    exchange = Exchange("hello")
    assert [sentence async for sentence in listener.reply(exchange)] == listener.answer(exchange)
    await listener.close()
