"""How long the silence must last: by the words, the lengthening of the last one, and the speaker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oviya.errors import CheckpointError
from services.stt.decode.words import plain
from services.stt.endpoint.completeness import completeness
from services.stt.endpoint.endpointing import Endpointer, EndSilence
from services.stt.endpoint.sentence_end import SentenceEnd
from services.stt.recognizer import Word

SILENCE = EndSilence(min_s=0.3, max_s=0.9, cap_s=1.5)


def spoken(text, last_stretch=1.0):
    """Returns the words of `text` at 50 ms a letter, the last one stretched, and a full stop that is 90 % certain."""
    words, at_s = [], 0.0
    texts = (text if text[-1] in ".,?" else f"{text}.").split()
    for index, word in enumerate(texts):
        duration_s = 0.05 * (len(plain(word)) + 1) * (last_stretch if index == len(texts) - 1 else 1.0)
        words.append(Word(plain(word), at_s, at_s + duration_s, 1.0, f" {word}"))
        at_s += duration_s
    words[-1] = replace(words[-1], stop=0.9)
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
    assert Endpointer(SILENCE).silence_s(spoken(text), turn_end=0.97) < SILENCE.max_s


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
    endpointing, words = Endpointer(SILENCE), spoken("we ran out of milk", last_stretch=1.3)
    assert endpointing.silence_s(words, fall=4.0) == pytest.approx(SILENCE.min_s)
    assert endpointing.silence_s(words, fall=-4.0) == SILENCE.max_s
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


def test_capitals_change_nothing():
    assert completeness(spoken("Thank you very much")) == completeness(spoken("thank you very much"))


@pytest.mark.parametrize("ending", [",", "...", "\N{HORIZONTAL ELLIPSIS}", " -"])
def test_punctuation_that_continues_waits_longest(ending):
    words = spoken("thank you very much for your help", last_stretch=1.6)
    words[-1] = replace(words[-1], written=f" help{ending}")
    assert Endpointer(SILENCE).silence_s(words, turn_end=0.99) == SILENCE.max_s


def test_a_sentence_that_the_recognizer_leaves_open_waits_longer():
    words = spoken("i had a long day at work", last_stretch=1.3)
    left_open = [*words[:-1], replace(words[-1], written=" work")]
    assert completeness(left_open) < completeness(words)
    for quote in ("\N{RIGHT DOUBLE QUOTATION MARK}", '"', ")"):
        assert completeness([*words[:-1], replace(words[-1], written=f" work.{quote}")]) == completeness(words)


def test_the_less_certain_the_full_stop_the_longer_the_wait():
    words = spoken("we ran out of milk", last_stretch=1.3)
    waits_s = [
        Endpointer(SILENCE).silence_s([*words[:-1], replace(words[-1], stop=stop)], turn_end=0.9)
        for stop in (0.98, 0.9, 0.5)
    ]
    assert waits_s == sorted(waits_s)
    assert waits_s[0] < waits_s[-1] == SILENCE.max_s


def test_the_sound_decides_where_the_words_could_be_either():
    endpointing, words = Endpointer(SILENCE), spoken("we ran out of milk", last_stretch=1.15)
    over_s, running_s = (endpointing.silence_s(words, turn_end=turn_end) for turn_end in (0.98, 0.02))
    assert over_s < running_s - 0.05


def test_no_sound_ends_an_unfinished_clause():
    for text in ("i want to go to the", "well i was thinking um", "my number is five five"):
        assert Endpointer(SILENCE).silence_s(spoken(text, last_stretch=1.6), fall=4.0, turn_end=0.99) == SILENCE.max_s


def test_without_words_the_sound_decides():
    endpointing = Endpointer(SILENCE)
    over_s, running_s = (endpointing.silence_s([], fall=4.0, turn_end=turn_end) for turn_end in (0.98, 0.02))
    assert SILENCE.min_s == over_s < running_s - 0.2


def test_in_other_languages_only_sound_and_punctuation_count():
    endpointing = Endpointer(SILENCE)
    words = spoken("ich will in die", last_stretch=1.15)
    other = spoken("wir sind da so", last_stretch=1.15)
    for turn_end in (0.02, 0.98):
        silences_s = [endpointing.silence_s(said, 4.0, turn_end, "de") for said in (words, other)]
        assert silences_s[0] == pytest.approx(silences_s[1], abs=0.02)
    assert endpointing.silence_s(words, 4.0, 0.98, "de") < endpointing.silence_s(words, 4.0, 0.02, "de")
    assert endpointing.silence_s(spoken("eins zwei,"), 4.0, 0.98, "de") == SILENCE.max_s


def test_the_pause_tells_whether_the_turn_has_probably_ended():
    endpointing = Endpointer(SILENCE)
    assert endpointing.pause(spoken("thank you very much for your help", 1.6), 3.0, 0.98, "en")
    assert endpointing.state.end_silence == round(SILENCE.min_s * 16_000)
    assert not endpointing.pause(spoken("i want to go to the"), 0.0, 0.02, "en")
    assert endpointing.state.end_silence == round(SILENCE.max_s * 16_000)
    assert not endpointing.pause([], 3.0, 0.98, "en")


def test_a_broken_model_is_named(tmp_path):
    (tmp_path / "model.npz").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"model\.npz"):
        SentenceEnd(tmp_path / "model.npz")
