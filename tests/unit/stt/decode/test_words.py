"""Tokens become words with times and confidences."""

from __future__ import annotations

import pytest

from services.stt.decode.words import plain, split_tokens, spread, text_of, timed_words, without_closing


def split(*pieces, language="en"):
    """Splits tokens that stand for these bytes or texts; returns the words and their numbers of tokens."""
    tokens = [piece if isinstance(piece, bytes) else piece.encode() for piece in pieces]

    def decode(numbers):
        return b"".join(tokens[number] for number in numbers).decode(errors="replace")

    return split_tokens(range(len(tokens)), decode, language)


def test_words_begin_with_a_space():
    assert split(" What", " should", " I", " do", "?") == [(" What", 1), (" should", 1), (" I", 1), (" do?", 2)]
    assert split(" un", "believ", "able") == [(" unbelievable", 3)]
    assert split("Hello", ",", " An", "na", ".") == [("Hello,", 2), (" Anna.", 3)]
    assert split() == []


def test_punctuation_that_stands_alone_belongs_to_the_word_before_it():
    assert split(" well", " -", " yes", " ...") == [(" well -", 2), (" yes ...", 2)]
    assert split(" ¿", "Qué", "?", language="es") == [(" ¿Qué?", 3)]


def test_characters_are_words_in_languages_without_spaces():
    assert split("你", "好", "。", language="zh") == [("你", 1), ("好。", 2)]
    assert split("안녕", " 하", "세요", language="ko") == [("안녕", 1), (" 하세요", 2)]


def test_a_character_may_have_several_tokens():
    you = "你".encode()
    assert split(you[:1], you[1:2], you[2:], "好", language="zh") == [("你", 3), ("好", 1)]
    assert split(" caf", "é".encode()[:1], "é".encode()[1:], " noir", language="fr") == [(" café", 3), (" noir", 1)]
    assert split(" caf", "é".encode()[:1]) == [(" caf", 2)]  # cut off in the middle of a character


def test_words_get_the_times_and_the_mean_probability_of_their_tokens():
    pieces = [(" Hello", 1), (" Anna.", 2)]
    alignment = [(0, 10), (0, 11), (0, 20), (1, 30), (1, 40), (2, 50), (2, 60)]
    first, second = timed_words(pieces, alignment, [0.9, 0.8, 0.4], 2.0)
    assert (first.text, first.written, first.start_s, first.end_s) == ("hello", " Hello", 0.2, 0.6)
    assert (second.text, second.written, second.start_s, second.end_s) == ("anna", " Anna.", 0.6, 2.0)
    assert (first.confidence, second.confidence) == pytest.approx((0.9, 0.8))


def test_no_word_ends_after_the_sound_or_before_its_start():
    [word] = timed_words([(" so", 1)], [(0, 90)], [1.0], 1.5)
    assert (word.start_s, word.end_s) == (1.5, 1.5)
    words = timed_words([(" a", 1), (" b", 1)], [], [], 1.0)  # nothing was aligned
    assert [(word.start_s, word.end_s, word.confidence) for word in words] == [(1.0, 1.0, 0.0)] * 2


def test_punctuation_is_no_word():
    words = timed_words([(" -", 1), (" yes", 1), (" ...", 1)], [(0, 0), (1, 10), (2, 20)], [0.5, 0.9, 0.1], 1.0)
    assert [(word.text, word.written, word.confidence) for word in words] == [("yes", " yes ...", 0.9)]
    assert [word.written for word in spread([" -", " yes", " ..."], 0.0, 1.0, 0.5)] == [" yes"]


def test_times_that_are_not_known_are_shared_out_by_letters():
    first, second = spread([" ab", " abcdefg."], 1.0, 2.2, 0.5)
    assert (first.start_s, first.end_s, second.start_s, second.end_s) == pytest.approx((1.0, 1.3, 1.3, 2.2))
    assert (first.text, second.text, first.confidence) == ("ab", "abcdefg", 0.5)
    assert spread([], 0.0, 1.0, 1.0) == []


@pytest.mark.parametrize(
    ("written", "spoken"),
    [(" Hello,", "hello"), ("“Yes!”", "yes"), (" don't", "don't"), ("—", ""), ("Élan.", "élan"), ("¿Qué?", "qué")],
)
def test_plain_words_are_lower_case_without_punctuation_around_them(written, spoken):
    assert plain(written) == spoken


def test_texts_are_as_written():
    words = spread([" Hello,", " world."], 0.0, 1.0, 1.0)
    assert text_of(words) == "Hello, world."
    assert without_closing(text_of(words)) == "Hello, world"
    assert without_closing("It's 5%...") == "It's 5"


PIECES = [(" Well,", 2), (" I", 1), (" know.", 2)]
ALIGNMENT = [(0, 5), (1, 10), (2, 20), (3, 30), (4, 40)]


def test_a_word_with_punctuation_has_its_probability():
    words = timed_words(PIECES, ALIGNMENT, [0.9, 0.4, 0.8, 0.7, 0.6], 1.0)
    assert [word.stop for word in words] == [0.4, None, 0.6]
    assert [word.confidence for word in words] == pytest.approx([0.9, 0.8, 0.7])


def test_a_word_that_the_model_has_not_scored_has_none():
    words = timed_words(PIECES, ALIGNMENT, [], 1.0)
    assert [word.stop for word in words] == [None, None, None]
    assert [word.confidence for word in words] == [0.0, 0.0, 0.0]
