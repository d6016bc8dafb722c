"""The caller's text against what was heard."""

from __future__ import annotations

import pytest

from oviya.errors import InvalidInput
from services.gateway.own_voice.text_match import check_text_matches, likeness, words_up_to
from services.gateway.own_voice.transcription import ClipTranscript, SpokenWord


def heard(text):
    words = tuple(SpokenWord(word, at, at + 0.8) for at, word in enumerate(text.split()))
    return ClipTranscript(words, ((0.0, float(len(words))),))


@pytest.mark.parametrize(
    ("text", "transcript"),
    [
        ("We walked to the lake, and back!", "we walked to the lake and back"),
        ("It costs $5 and 20 cents.", "it costs five dollars and twenty cents"),
        ("We walked to the lake and back before it rained.", "We walk to the lake and back before it rains."),
        ("She left her bag on the train.", "She left her back on the drain."),
    ],
)
def test_the_same_words_match(text, transcript):
    check_text_matches(text, heard(transcript))


@pytest.mark.parametrize(
    "text", ["The shop on the corner closes early on Sunday.", "We walked.", "We walked to the lake " * 20, "?"]
)
def test_other_words_are_refused_with_both(text):
    said = "My brother called, and he told me about the garden."
    with pytest.raises(InvalidInput) as caught:
        check_text_matches(text, heard(said))
    assert caught.value.field == "set_voice.clip.text"
    assert "My brother called" in caught.value.limit
    assert caught.value.value[:10] == text[:10]


def test_likeness_is_of_letters():
    assert likeness("the same", "The same.") == 1
    assert likeness("abcd", "abxd") == pytest.approx(0.75)
    assert likeness("", "") == 1
    assert likeness("", "abc") == 0


@pytest.mark.parametrize(
    ("text", "transcript", "count", "begins"),
    [
        ("One, two, three, four.", "one two three four", 2, "One, two,"),
        ("Well, one two three four.", "one two three four", 2, "Well, one two"),
        ("One too three four.", "one two three four", 2, "One too"),
        ("One two three four.", "one two three four", 4, "One two three four."),
    ],
)
def test_the_text_is_cut_with_the_sound(text, transcript, count, begins):
    assert words_up_to(text, heard(transcript), count) == begins
