"""The emotions of the listener's sentences."""

from __future__ import annotations

import pytest

from services.brain.backend import Exchange
from services.brain.emotions import EMOTIONS
from tests.support.listener_talk import Talk, answers


@pytest.mark.parametrize(
    ("said", "emotions"),
    [
        ("i feel so sad", {"empathetic_sad"}),
        ("i am so happy today", {"joyful_excited"}),
        ("i am furious with my landlord", {"sympathetic"}),
        ("i am scared of the dark", {"comforting"}),
        ("i got the job", {"impressed"}),
        ("i can't wait for the concert", {"excited"}),
    ],
)
def test_the_tone_answers_the_feeling(listener, said, emotions):
    for reply in answers(listener, said):
        assert reply[0].emotion in emotions


def test_the_emotion_that_was_heard_outweighs_the_words(listener):
    words_alone = listener.answer(Exchange("it was my birthday"))
    sad = listener.answer(Exchange("it was my birthday", user_emotion="melancholic"))
    joyful = listener.answer(Exchange("it was my birthday", user_emotion="joyful_excited"))
    assert sad[0].emotion == "empathetic_sad"
    assert joyful[0].emotion == "joyful_excited"
    assert words_alone[0].emotion not in ("empathetic_sad", "joyful_excited")


@pytest.mark.parametrize("emotion", sorted(EMOTIONS))
def test_every_emotion_of_the_user_is_answered(listener, emotion):
    for sentence in listener.answer(Exchange("i went home", user_emotion=emotion)):
        assert sentence.emotion in EMOTIONS


def test_a_feeling_sets_the_mood_of_the_next_turns_and_then_fades(listener):
    talk = Talk(listener)
    talk.say("i feel so sad")
    emotions = [talk.say("the train was full")[0].emotion for _ in range(4)]
    assert emotions[0] == "empathetic_sad"
    assert emotions[-1] == "calm_supportive"
