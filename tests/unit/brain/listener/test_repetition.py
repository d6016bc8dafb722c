"""The listener never repeats a sentence."""

from __future__ import annotations

import re

import pytest

from services.brain.backend import Exchange, Turn
from services.brain.emotions import EMOTIONS
from services.brain.listener.reply import MAX_SENTENCES
from services.brain.listener.utterance import sentence_key
from tests.support.listener_talk import Talk, text_of

REPEATED = [
    "i feel sad", "hello", "who are you", "yes", "tell me a joke", "say that again",
    "what should i do when i feel sad and lonely", "the", "...", "thank you", "my name is anna",
    "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("said", REPEATED)
def test_nothing_is_said_twice_even_if_the_user_says_the_same_200_times(listener, said):
    talk = Talk(listener)
    seen: set[str] = set()
    for _ in range(200):
        reply = talk.say(said)
        assert 1 <= len(reply) <= MAX_SENTENCES
        for sentence in reply:
            assert sentence_key(sentence.text) not in seen, sentence.text
            seen.add(sentence_key(sentence.text))


MIXED = [
    "hi", "i feel tired", "i don't know", "my boss is mean", "okay", "why", "yes", "no", "i had pizza",
    "do you like music", "i am happy", "what should i do", "i can't sleep", "maybe", "my sister called me",
    "tell me a story", "thanks", "i want to travel", "it is raining", "nobody understands me",
    "i think about the past", "what do you think", "i was at work", "you are nice", "i feel like a failure",
]  # fmt: skip


def test_nothing_is_said_twice_in_a_long_mixed_conversation(listener):
    talk = Talk(listener)
    seen: set[str] = set()
    for number in range(200):
        for sentence in talk.say(MIXED[number * 7 % len(MIXED)]):
            assert sentence_key(sentence.text) not in seen, sentence.text
            seen.add(sentence_key(sentence.text))
            assert sentence.emotion in EMOTIONS
            assert re.fullmatch(r"[A-Z0-9].*[.?!]", sentence.text), sentence.text
            assert "{" not in sentence.text


def test_a_sentence_that_was_cut_off_counts_as_said(listener):
    whole = listener.answer(Exchange("i feel sad"))[0].text
    heard = " ".join(whole.split()[:3])
    history = (Turn("user", "i feel sad"), Turn("assistant", heard))
    assert not text_of(listener.answer(Exchange("i feel sad", history))).startswith(heard)
