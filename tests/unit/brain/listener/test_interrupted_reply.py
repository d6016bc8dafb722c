"""What was not heard of an interrupted reply is said when the user asks for it."""

from __future__ import annotations

import pytest

from services.brain.backend import Exchange, Interruption, Turn
from services.brain.emotions import EMOTIONS
from services.brain.listener.interrupted_reply import unheard_sentences
from tests.support.listener_talk import text_of

HEARD = "I am sorry. It sounds like you"
HISTORY = (Turn("user", "i feel sad"), Turn("assistant", HEARD))
INTERRUPTION = Interruption(HEARD, "are very tired today. What happened?")
REST = "It sounds like you are very tired today. What happened?"

REQUESTS = [
    "go on", "Continue.", "Please continue.", "Sorry, go on.", "What were you saying?", "Okay, keep going, please.",
    "No, you can finish your sentence.", "You were saying?", "I am sorry, I interrupted you. Please go on.",
    "And what were you going to say?", "what did you want to say",
]  # fmt: skip


@pytest.mark.parametrize("said", REQUESTS)
def test_the_rest_is_said_from_the_beginning_of_the_sentence_that_was_cut(listener, said):
    reply = listener.answer(Exchange(said, HISTORY, interruption=INTERRUPTION))
    assert text_of(reply) == REST
    assert {sentence.emotion for sentence in reply} <= EMOTIONS


@pytest.mark.parametrize("said", ["I can't go on.", "Go on. I feel lonely.", "thanks", "go on holiday", "yes"])
def test_other_words_are_answered_as_usual(listener, said):
    reply = text_of(listener.answer(Exchange(said, HISTORY, interruption=INTERRUPTION)))
    assert reply == text_of(listener.answer(Exchange(said, HISTORY)))


def test_danger_is_answered_before_the_rest(listener):
    reply = listener.answer(Exchange("I want to die. Go on.", HISTORY, interruption=INTERRUPTION))
    assert "emergency" in text_of(reply)


@pytest.mark.parametrize("said", REQUESTS)
def test_without_an_interruption_there_is_no_rest(listener, said):
    assert "tired" not in text_of(listener.answer(Exchange(said, HISTORY)))
    everything_was_heard = Interruption(HEARD, "")
    assert "tired" not in text_of(listener.answer(Exchange(said, HISTORY, interruption=everything_was_heard)))


def test_a_reply_of_which_nothing_was_heard_is_said_whole(listener):
    interruption = Interruption("", "I am sorry. Tell me more.")
    reply = listener.answer(Exchange("go on", HISTORY[:1], interruption=interruption))
    assert text_of(reply) == "I am sorry. Tell me more."


def test_the_listener_does_not_go_on_in_another_language(listener):
    interruption = Interruption("Guten", "Tag, wie geht es dir?")
    reply = listener.answer(Exchange("continue", HISTORY, language="de", interruption=interruption))
    assert "Tag" not in text_of(reply)


@pytest.mark.parametrize(
    ("heard", "unheard", "rest"),
    [
        ("One two", "three. Four.", ["One two three.", "Four."]),
        ("One two.", "three four.", ["Three four."]),
        ("One. Two", "three", ["Two three"]),
        ("", "One. Two?", ["One.", "Two?"]),
        ("One.", "", []),
    ],
)
def test_the_rest_begins_with_the_sentence_that_was_cut(heard, unheard, rest):
    assert unheard_sentences(Interruption(heard, unheard)) == rest
