"""Words that Whisper invented, and words that people say."""

from __future__ import annotations

import pytest

from services.stt.decode.invention import MAX_REPEATS, Evidence, credible_words
from services.stt.decode.words import plain, text_of
from services.stt.recognizer import Word

SPEECH = Evidence(log_probability=-0.9, no_speech=0.1, english_only=True)


def written(text):
    """Returns the words of a decode; spaces are kept as the model writes them, before each word."""
    return [Word(plain(piece), 0.3 * i, 0.3 * i + 0.3, 0.6, f" {piece}") for i, piece in enumerate(text.split())]


def kept(text, evidence=SPEECH):
    return text_of(credible_words(written(text), evidence))


@pytest.mark.parametrize("text", ["Thank you.", "you", "Bye.", "Thanks for watching!", "beep beep beep beep beep beep"])
@pytest.mark.parametrize("log_probability", [-0.9, -1.6])
def test_sound_that_is_not_speech_has_no_words(text, log_probability):
    assert kept(text, Evidence(log_probability, 0.85, english_only=True)) == ""


@pytest.mark.parametrize("text", ["Yes.", "No.", "Okay.", "Stop.", "Thank you.", "Bye.", "You."])
@pytest.mark.parametrize(("log_probability", "no_speech"), [(-0.6, 0.03), (-1.5, 0.3), (-1.2, 0.63)])
def test_short_answers_stay(text, log_probability, no_speech):
    assert kept(text, Evidence(log_probability, no_speech, english_only=True)) == text


def test_unlikely_words_in_what_may_be_a_tone_go():
    assert kept("You", Evidence(-1.4, 0.63, english_only=True)) == ""


def test_likely_words_stay_where_the_model_is_not_sure_that_there_is_speech():
    assert kept("You are now muted.", Evidence(-0.3, 0.8, english_only=True)) == "You are now muted."


def test_a_likely_loop_without_speech_goes():
    assert kept("beep " * 40, Evidence(-0.17, 0.83, english_only=True)) == ""


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("[Music]", ""),
        ("(upbeat music)", ""),
        ("Hello [door closes slowly] again.", "Hello again."),
        ("(sighs) I am tired.", "I am tired."),
        ("Tell me. (laughs", "Tell me."),
        ("♪ Happy birthday ♪", "Happy birthday"),
        ("Well(coughs), yes.", "Well, yes."),
    ],
)
def test_descriptions_of_sounds_go_and_the_words_beside_them_stay(text, left):
    assert " ".join(kept(text).split()) == left


@pytest.mark.parametrize("text", ["No, no, no.", "Five five five five five.", "Very, very good, very, very good."])
def test_what_people_repeat_stays(text):
    assert kept(text) == text


@pytest.mark.parametrize("group", ["so", "thank you", "I am here to see you"])
def test_loops_are_cut(group):
    words = credible_words(written("Listen: " + f"{group} " * 20 + "goodbye"), SPEECH)
    assert " ".join(word.text for word in words) == f"listen {group.lower()} goodbye"


def test_the_longest_repetition_of_a_person_is_no_loop():
    text = " ".join(["no"] * MAX_REPEATS)
    assert kept(text) == text
    assert kept(f"{text} no") == "no"


def test_a_model_for_english_writes_no_other_scripts():
    assert kept("Hello привет 你好 café 42") == "Hello café 42"
    multilingual = Evidence(SPEECH.log_probability, SPEECH.no_speech, english_only=False)
    assert kept("Hello привет", multilingual) == "Hello привет"


def test_no_words_stay_no_words():
    assert credible_words([], SPEECH) == []
