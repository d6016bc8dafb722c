"""Which words of a growing transcript are committed, and that they stay."""

from __future__ import annotations

import itertools
import random

import pytest

from services.stt.decode.agreement import MIN_CONFIDENCE, STABLE_S, LocalAgreement, continuation, merge_final
from services.stt.recognizer import HypothesisWord, Word


def hypothesis(text, confidence=1.0):
    return [HypothesisWord(word, confidence) for word in text.split()]


def committed(*decodes, confidence=1.0, every_s=0.2):
    agreement = LocalAgreement()
    return [
        " ".join(agreement.update(hypothesis(decode, confidence), index * every_s))
        for index, decode in enumerate(decodes)
    ]


def decoded(text):
    """The words of `text`, half a second each."""
    return [Word(word, index / 2, index / 2 + 0.4, 0.9) for index, word in enumerate(text.split())]


def test_words_are_committed_once_two_hypotheses_agree():
    assert committed("what", "what should", "what should i", "what shall i do", "what shall i do") == [
        "",
        "what",
        "what should",
        "what should i",
        "what should i do",
    ]


def test_an_empty_hypothesis_withdraws_nothing():
    assert committed("good morning", "good morning", "", "", "good morning anna", "good morning anna")[-3:] == [
        "good morning",
        "good morning",
        "good morning anna",
    ]


def test_a_word_in_doubt_must_be_stable_for_longer():
    every_s, doubtful = 0.2, MIN_CONFIDENCE - 0.01
    decodes = ["what"] * 6
    assert committed(*decodes, confidence=MIN_CONFIDENCE, every_s=every_s).index("what") == 1
    assert committed(*decodes, confidence=doubtful, every_s=every_s).index("what") == round(STABLE_S / every_s)
    wavering = ["what", "what", "watt", "what", "what", "what"]
    assert committed(*wavering, confidence=doubtful, every_s=every_s)[-1] == ""


def test_nothing_is_committed_beyond_a_word_in_doubt():
    agreement = LocalAgreement()
    for at_s in (0.0, 0.2):
        agreement.update([*hypothesis("what"), *hypothesis("shall", confidence=0.1), *hypothesis("i do")], at_s)
    assert agreement.committed == ["what"]


def test_whatever_is_decoded_committed_words_stay():
    draw = random.Random(1)
    for _ in range(200):
        agreement, before = LocalAgreement(), []
        for step in range(20):
            words = [draw.choice("abc") * draw.randint(1, 2) for _ in range(draw.randint(0, 6))]
            after = agreement.update([HypothesisWord(word, draw.random()) for word in words], step * 0.2)
            assert after[: len(before)] == before
            before = after
        final = merge_final(before, decoded(" ".join(draw.choice("abc") for _ in range(draw.randint(0, 8)))))
        assert [word.text for word in final[: len(before)]] == before
        for word, following in itertools.pairwise(final):
            assert word.start_s <= word.end_s <= following.start_s + 1e-9


def test_the_final_keeps_committed_words_in_the_time_of_those_they_replace():
    final = merge_final(["i", "can", "not", "sleep"], decoded("i cannot sleep tonight"))
    assert [word.text for word in final] == ["i", "can", "not", "sleep", "tonight"]
    sure = {word.text: word for word in decoded("i cannot sleep tonight")}
    assert [word for word in final if word.text in sure] == [sure["i"], sure["sleep"], sure["tonight"]]
    can, nought = final[1:3]
    times = (can.start_s, can.end_s, nought.end_s)
    assert times == pytest.approx((sure["cannot"].start_s, nought.start_s, sure["cannot"].end_s))
    assert can.confidence == nought.confidence == 0.0


def test_a_committed_word_that_the_last_decode_lacks_lies_between_its_neighbours():
    final = merge_final(["so", "what", "now"], decoded("so now"))
    assert [word.text for word in final] == ["so", "what", "now"]
    assert final[0].end_s <= final[1].start_s <= final[1].end_s <= final[2].start_s
    assert [word.text for word in merge_final(["hello"], [])] == ["hello"]
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
