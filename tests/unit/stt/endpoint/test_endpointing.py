"""How long the silence must last: by the words, the lengthening of the last one, and the speaker."""

from __future__ import annotations

import pytest

from oviya.errors import CheckpointError
from services.stt.decode.words import plain
from services.stt.endpoint.endpointing import Endpointer, EndSilence
from services.stt.endpoint.sentence_end import SentenceEnd, completeness
from services.stt.recognizer import Word

SILENCE = EndSilence(min_s=0.3, max_s=0.9, cap_s=1.5)


def spoken(text, last_stretch=1.0):
    """Returns the words of `text` at 50 ms a letter, the last one stretched."""
    words, at_s = [], 0.0
    texts = text.split()
    for index, word in enumerate(texts):
        duration_s = 0.05 * (len(plain(word)) + 1) * (last_stretch if index == len(texts) - 1 else 1.0)
        words.append(Word(plain(word), at_s, at_s + duration_s, 1.0, f" {word}"))
        at_s += duration_s
    return words


def silence_s(text, **stretch):
    return Endpointer(SILENCE).silence_s(spoken(text, **stretch))


@pytest.mark.parametrize(
    "text", ["thank you very much for your help", "i had a long day at work", "can you tell me what time it is"]
)
def test_a_whole_sentence_waits_least(text):
    assert silence_s(text, last_stretch=1.6) == pytest.approx(SILENCE.min_s, abs=0.05)


@pytest.mark.parametrize("text", ["yes", "thank you", "good morning"])
def test_short_answers_need_no_pace(text):
    assert silence_s(text) < SILENCE.max_s


@pytest.mark.parametrize(
    "text",
    [
        "i want to go to the",
        "hello my name is anna and i",
        "i feel much better since",
        "we went to the market and",
        "i am worried about",
        "well i was thinking um",
        "my number is five five",
        "the code is 4 2",
    ],
)
def test_an_unfinished_clause_a_filler_and_a_dictated_number_wait_longest(text):
    assert silence_s(text, last_stretch=1.6) == SILENCE.max_s


def test_a_stretched_last_word_is_an_end_and_a_hurried_one_is_not():
    text = "my brother is getting married in the summer"
    assert silence_s(text, last_stretch=1.8) < silence_s(text, last_stretch=1.0)
    assert silence_s(text, last_stretch=0.6) == SILENCE.max_s


def test_a_pitch_that_falls_is_an_end_and_one_that_stays_up_is_not():
    endpointing, words = Endpointer(SILENCE), spoken("i had a long day at work", last_stretch=1.4)
    assert endpointing.silence_s(words, fall=3.0) == pytest.approx(SILENCE.min_s)
    assert endpointing.silence_s(words, fall=-1.0) == SILENCE.max_s
    assert endpointing.silence_s(words) < SILENCE.max_s


def test_no_fall_of_the_pitch_ends_an_unfinished_clause():
    for text in ("i want to go to the", "well i was thinking um", "my number is five five"):
        assert Endpointer(SILENCE).silence_s(spoken(text, last_stretch=1.6), fall=12.0) == SILENCE.max_s


def test_a_question_may_end_high():
    words = spoken("can you tell me what time it is", last_stretch=1.6)
    assert completeness(words, fall=-4.0) == completeness(words, fall=4.0)


def test_speech_without_a_word_waits_in_between():
    assert SILENCE.min_s < Endpointer(SILENCE).silence_s([]) < SILENCE.max_s


def test_a_speaker_with_long_pauses_is_waited_for_longer_but_never_beyond_the_cap():
    endpointing, words = Endpointer(SILENCE), spoken("i am worried about")
    before_s = endpointing.silence_s(words)
    endpointing.add_pause(1.1)
    after_one_s = endpointing.silence_s(words)
    for _ in range(40):
        endpointing.add_pause(3.0)
    assert before_s < after_one_s < endpointing.silence_s(words) == SILENCE.cap_s


def test_a_speaker_with_short_pauses_is_answered_sooner():
    endpointing, words = Endpointer(SILENCE), spoken("i am worried about")
    for _ in range(20):
        endpointing.add_pause(0.3)
    assert 0.6 <= endpointing.silence_s(words) < SILENCE.max_s


def test_punctuation_and_capitals_change_nothing():
    plain, written = spoken("thank you very much"), spoken("Thank you very much.")
    assert completeness(written) == pytest.approx(completeness(plain), abs=0.5)


def test_a_broken_model_is_named(tmp_path):
    (tmp_path / "model.npz").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"model\.npz"):
        SentenceEnd(tmp_path / "model.npz")
