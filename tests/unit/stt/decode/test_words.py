"""Words from tokens: the probability of the punctuation after them."""

from __future__ import annotations

import pytest

from services.stt.decode.words import timed_words

PIECES = [(" Well,", 2), (" I", 1), (" know.", 2)]
ALIGNMENT = [(0, 5), (1, 10), (2, 20), (3, 30), (4, 40)]


def test_a_word_with_punctuation_has_its_probability():
    words = timed_words(PIECES, ALIGNMENT, [0.9, 0.4, 0.8, 0.7, 0.6], 1.0)
    assert [word.stop for word in words] == [0.4, None, 0.6]
    assert [word.confidence for word in words] == pytest.approx([0.65, 0.8, 0.65])


def test_a_word_that_the_model_has_not_scored_has_none():
    words = timed_words(PIECES, ALIGNMENT, [], 1.0)
    assert [word.stop for word in words] == [None, None, None]
    assert [word.confidence for word in words] == [0.0, 0.0, 0.0]
