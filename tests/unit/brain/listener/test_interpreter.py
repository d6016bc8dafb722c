"""Which part of an utterance is answered."""

from __future__ import annotations

import re

import pytest

from services.brain.listener.reply import ReplyBuilder
from tests.support.listener_talk import Talk, answers, text_of

SEVERAL = [
    # what was said, the rule that answers, the name that is remembered
    ("my name is Tom and I just lost my job", "loss.job", "Tom"),
    ("My name is Tom. I just lost my job.", "loss.job", "Tom"),
    ("my name is tom i lost my job at the factory last week", "loss.job", "Tom"),
    ("i lost my job today and my name is Tom", "loss.job", "Tom"),
    ("hi oviya, I'm Anna, and I was fired this morning", "loss.job", "Anna"),
    ("my name is Tom and I was diagnosed with cancer", "loss.health", "Tom"),
    ("hello, my name is Eva, we had a miscarriage", "loss.health", "Eva"),
    ("My name is Tom and my house burned down", "loss.home", "Tom"),
    ("good evening, I got evicted", "loss.home", ""),
    ("thanks, but someone broke into my flat", "loss.other", ""),
    ("Hi, I'm Anna and my mother died yesterday", "people.died", "Anna"),
    ("thanks for listening, my father passed away", "people.died", ""),
    ("yes, and my grandmother died", "people.died", ""),
    ("tell me a joke, my brother died", "people.died", ""),
    ("my name is Kate and my dog died last week", "people.pet_died", "Kate"),
    ("sorry, my cat died", "people.pet_died", ""),
    ("sorry to bother you but my wife left me", "people.left", ""),
    ("I'm Sam and I want to die", "crisis.self", "Sam"),
    ("I have to go now but I want to kill myself", "crisis.self", ""),
    ("my mother died and I want to kill myself", "crisis.self", ""),
    ("you are stupid and i want to hurt myself", "crisis.self", ""),
    ("what time is it, I want to end my life", "crisis.self", ""),
    ("call me Leo, I am really scared about the exam", "feel.am", "Leo"),
    ("thank you, but I feel so alone", "feel.feel", ""),
    ("good night, i feel so empty", "feel.feel", ""),
    ("what is your name? I'm sad", "feel.am", ""),
    ("I feel sad, and my father died", "people.died", ""),
    ("good morning, my name is Ben, what should I do when I can't sleep?", "advice.about", "Ben"),
    ("my name is Eva, how are you?", "self.how_are_you", "Eva"),
    ("Thanks! What time is it?", "time", ""),
    ("my name is Tom and what is your name", "self.name_known", "Tom"),
    ("my name is Tom and I like painting", "like", "Tom"),
    ("hello my name is tom nice to meet you", "name.told", "Tom"),
    ("my name is Tom", "name.told", "Tom"),
    ("Tom is my name and I just lost my job", "loss.job", "Tom"),
    ("the name's Tom, and they let me go at work", "loss.job", "Tom"),
    ("it's Tom here, I lost my dad", "people.died", "Tom"),
    ("my name is Tom and I just found out I have diabetes", "loss.health", "Tom"),
    ("my name is Tom and I am getting divorced", "people.left", "Tom"),
    ("I got dumped, my name is Al", "people.left", "Al"),
    ("Thanks. I can't stop crying", "feel.verb", ""),
    ("My name is Tom, can you tell me a joke?", "joke", "Tom"),
    ("okay thanks bye", "bye", ""),
    ("bye, I am going to bed", "bye", ""),
    ("thank you, that was nice", "thanks", ""),
    ("what should i do when i feel sad and lonely", "advice.state", ""),
    ("i feel sad, lonely and tired", "feel.feel", ""),
]


@pytest.mark.parametrize(("said", "rule", "name"), SEVERAL)
def test_the_part_with_the_greatest_weight_is_answered_and_the_name_remembered(listener, monkeypatch, said, rule, name):
    answered: list[str] = []
    follow = ReplyBuilder.follow

    def note(builder: ReplyBuilder, shapes, rule_id: str) -> None:
        answered.append(rule_id)
        follow(builder, shapes, rule_id)

    monkeypatch.setattr(ReplyBuilder, "follow", note)
    talk = Talk(listener)
    talk.say(said)
    assert answered == [rule]
    if name:
        assert name in text_of(talk.say("what is my name"))


def test_double_negation_is_understood(listener):
    for reply in answers(listener, "I can't stop crying"):
        assert not re.search("fine|steady|calm waters", text_of(reply), re.IGNORECASE), text_of(reply)
