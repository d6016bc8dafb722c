"""Which words of a growing transcript are committed, and that they stay."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import pytest

from services.stt.decode.agreement import OPEN_S, STABLE_S, LocalAgreement, continuation, merge_final
from services.stt.decode.words import plain, text_of
from services.stt.recognizer import Word

START_S = 10.0


def decoded(text, confidence=0.9):
    """The words of `text`, a tenth of a second each."""
    return [
        Word(plain(word), index / 10, index / 10 + 0.1, confidence, f" {word}")
        for index, word in enumerate(text.split())
    ]


def texts(words):
    return " ".join(word.text for word in words)


def committed(*decodes, every_s=0.2, confidence=0.9):
    """Returns what is committed after each of the decodes; the sound is longer than the words."""
    agreement, after = LocalAgreement(), []
    for index, decode in enumerate(decodes):
        agreement.update(decoded(decode, confidence), START_S + index * every_s)
        after.append(texts(agreement.committed))
    return after


def test_words_are_committed_once_two_hypotheses_agree():
    assert committed("what", "what should", "what should i", "what shall i do", "what shall i do") == [
        "",
        "what",
        "what should",
        "what should i",
        "what should i do",
    ]


def test_an_empty_hypothesis_withdraws_nothing():
    assert committed("good morning", "good morning anna", "", "", "good morning anna", "good morning anna")[1:] == [
        "good morning",
        "good morning",
        "good morning",
        "good morning",
        "good morning anna",
    ]


def test_a_word_of_low_confidence_must_stay_for_longer():
    every_s = 0.25
    after = committed(*["what"] * 10, every_s=every_s, confidence=0.3)
    assert after.index("what") == math.ceil(STABLE_S / every_s)
    assert committed(*["what"] * 3, "watt", *["what"] * 3, every_s=every_s, confidence=0.3)[-1] == ""


def test_a_word_at_the_end_of_the_sound_may_have_been_cut_off():
    agreement = LocalAgreement()
    for position_s in (0.20, 0.24):  # the first word is not held back
        agreement.update(decoded("what should"), position_s)
    assert texts(agreement.committed) == "what"
    agreement.update(decoded("what should"), 0.2 + OPEN_S + 0.01)
    assert texts(agreement.committed) == "what should"


def test_case_and_punctuation_are_no_disagreement_and_may_change_later():
    agreement = LocalAgreement()
    for step, text in enumerate(("Well, yes", "well Yes. And", "Well! yes, and", "So")):
        agreement.update(decoded(text), START_S + step * 0.2)
    assert texts(agreement.committed) == "well yes and"
    agreement = LocalAgreement()
    for step, text in enumerate(("Well, yes and", "Well, yes and", "Well. Yes, and no")):
        agreement.update(decoded(text), START_S + step * 0.2)
    assert text_of(agreement.committed[:2]) == "Well. Yes,"


@pytest.mark.parametrize("text", ["my number is 5", "my number is 5, 5", "my number is 555"])
def test_digits_at_the_end_are_not_committed(text):
    assert committed(*[text] * 10)[-1] == "my number is"
    assert committed(*[f"{text} thanks"] * 10)[-1].endswith("thanks")


@pytest.mark.parametrize("times", [2, 3, 4])
def test_a_repetition_at_the_end_is_not_committed(times):
    assert committed(*[" ".join(["thank you very much"] * times)] * 10)[-1] == "thank you very much"
    said = "thank you very much thank you very much indeed"
    assert committed(*[said] * 10)[-1] == said


def test_whatever_is_decoded_committed_words_stay():
    draw = random.Random(1)
    for _ in range(200):
        agreement, before = LocalAgreement(), []
        for step in range(20):
            words = [draw.choice("abc") * draw.randint(1, 2) for _ in range(draw.randint(0, 6))]
            agreement.update(decoded(" ".join(words)), START_S + step * 0.2)
            after = [word.text for word in agreement.committed]
            assert after[: len(before)] == before
            before = after
        last = decoded(" ".join(draw.choice("abc") for _ in range(draw.randint(0, 8))))
        final = merge_final(agreement.committed, last)
        assert [word.text for word in final[: len(before)]] == before
        for word, following in itertools.pairwise(final):
            assert word.start_s <= word.end_s <= following.start_s + 1e-9


def test_the_final_keeps_committed_words_in_the_time_of_those_they_replace():
    final = merge_final(decoded("i can not sleep"), decoded("i cannot sleep tonight"))
    assert texts(final) == "i can not sleep tonight"
    sure = {word.text: word for word in decoded("i cannot sleep tonight")}
    assert [word for word in final if word.text in sure] == [sure["i"], sure["sleep"], sure["tonight"]]
    can, nought = final[1:3]
    times = (can.start_s, can.end_s, nought.end_s)
    assert times == pytest.approx((sure["cannot"].start_s, nought.start_s, sure["cannot"].end_s))
    assert can.confidence == nought.confidence == 0.0


def test_the_final_is_written_as_the_last_decode_writes_it():
    final = merge_final(decoded("so what can i do"), decoded("So, what can I do?"))
    assert text_of(final) == "So, what can I do?"


def test_a_committed_word_that_the_last_decode_lacks_lies_between_its_neighbours():
    final = merge_final(decoded("so what now"), decoded("so now"))
    assert texts(final) == "so what now"
    assert final[0].end_s <= final[1].start_s <= final[1].end_s <= final[2].start_s
    assert texts(merge_final(decoded("hello"), [])) == "hello"


def test_committed_words_after_the_end_of_the_last_decode_keep_their_times():
    told = decoded("good morning anna how are you")
    final = merge_final(told, decoded("good morning"))
    assert final == [*told[:2], *(replace(word, confidence=0.0) for word in told[2:])]
    assert merge_final(told, []) == [replace(word, confidence=0.0) for word in told]


def test_nothing_committed_needs_no_merging():
    assert merge_final([], decoded("good morning")) == decoded("good morning")


@pytest.mark.parametrize(
    ("words", "before", "rest"),
    [
        ("i cannot sleep", "i can not", "sleep"),
        ("the cat sat", "a cat", "sat"),
        ("the cat sat", "", "the cat sat"),
        ("the cat", "the cat", ""),
        ("", "the cat", ""),
        ("how are you today", "who are you", "today"),
    ],
)
def test_the_continuation_of_committed_words_is_found_though_the_hypothesis_differs(words, before, rest):
    assert continuation(words.split(), before.split()) == rest.split()
