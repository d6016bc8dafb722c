"""What the listener remembers of a session."""

from __future__ import annotations

import re

from services.brain.backend import Exchange, Turn
from tests.support.listener_talk import Talk, text_of


def test_it_remembers_the_name_and_what_was_told(listener):
    talk = Talk(listener)
    talk.say("hi my name is anna")
    talk.say("i work as a nurse")
    talk.say("my sister is called ruth")
    talk.say("i like painting")
    assert "Anna" in text_of(talk.say("what is my name"))
    summary = text_of(talk.say("what do you remember about me"))
    for told in ("your name is Anna", "you work as a nurse", "your sister is called Ruth", "you like painting"):
        assert told in summary


def test_it_does_not_invent_a_name(listener):
    talk = Talk(listener)
    talk.say("i am tired")
    talk.say("call me later")
    assert "Later" not in text_of(talk.say("what is my name"))
    assert not any("Tired" in turn.text for turn in talk.history)


def test_a_bare_name_is_understood_from_the_question_before_it(listener):
    history = (Turn("user", "who am i"), Turn("assistant", "You have not told me yet. What is your name?"))
    assert "Ravi" in text_of(listener.answer(Exchange("ravi", history)))


def test_it_comes_back_to_what_was_mentioned(listener):
    talk = Talk(listener)
    for text in ("my boss is strict", "i had toast", "it was alright", "i see"):
        talk.say(text)
    later = " ".join(text_of(talk.say(text)) for text in ("okay", "okay then", "i see", "what should we talk about"))
    assert "your work" in later


def test_a_parent_who_died_is_not_asked_after_as_if_alive(listener):
    talk = Talk(listener)
    talk.say("my mother died last year")
    for text in ("my mother was a teacher", "i miss her", "okay", "my mother loved roses"):
        reply = text_of(talk.say(text))
        assert not re.search("get along|see her|between you|in touch|do together", reply), reply


def test_it_gives_back_what_was_told_about_a_matter(listener):
    talk = Talk(listener)
    talk.say("i am worried about my exam tomorrow")
    talk.say("there is a boy in my class")
    assert "you are worried about your exam tomorrow" in text_of(talk.say("what did i tell you about my exam"))
