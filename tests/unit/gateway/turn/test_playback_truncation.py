"""Replies as far as they were heard."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.turn.playback_truncation import heard_sentences
from services.gateway.voice.speech_handle import SpeechHandle
from tests.support.segments import make_segment

TEN = "one two three four five six seven eight nine ten"


def sent(*sentences: tuple[str, float], complete: int, unplayed_s: float = 0.0) -> SpeechHandle:
    """A reply of which `unplayed_s` seconds are still to be played; its first `complete` sentences were sent whole."""
    speech, played_at = SpeechHandle(), asyncio.get_running_loop().time() + unplayed_s
    for index, (text, length_s) in enumerate(sentences):
        segment = speech.add_segment(make_segment(text, index))
        speech.begin_segment(segment)
        speech.add_sent(segment, length_s, played_at)
        segment.complete = index < complete
    return speech


@pytest.mark.parametrize(
    ("unplayed_s", "heard"),
    [
        (0.0, ["First one.", TEN]),
        (2.0, ["First one.", "one two three four five"]),
        (3.9, ["First one."]),
        (4.0, ["First one."]),
        (4.5, ["First"]),
        (5.0, []),
        (9.0, []),
    ],
)
async def test_interrupted_reply_was_heard_as_far_as_it_was_played(unplayed_s, heard):
    assert heard_sentences(sent(("First one.", 1.0), (TEN, 4.0), complete=2, unplayed_s=unplayed_s)) == heard


async def test_sentence_whose_sound_was_not_made_to_its_end_was_not_heard_to_its_end():
    half = len(TEN) / 15.0 / 2
    assert heard_sentences(sent((TEN, half), complete=0)) == ["one two three four five"]
    assert heard_sentences(SpeechHandle()) == []


async def test_a_repeated_sentence_is_heard_from_its_second_beginning():
    speech = sent((TEN, 1.0), complete=0)
    (segment,) = speech.segments
    speech.begin_segment(segment)
    speech.add_sent(segment, 4.0, asyncio.get_running_loop().time() + 2.0)
    segment.complete = True
    assert heard_sentences(speech) == ["one two three four five"]


@pytest.mark.parametrize(
    ("share", "heard"),
    [(0.0, []), (0.3, ["It costs"]), (0.7, ["It costs \u20ac9.99"]), (0.75, ["It costs \u20ac9.99 at"])],
)
async def test_an_interrupted_sentence_is_remembered_as_written_word_by_word_as_long_as_each_is_said(share, heard):
    text = "It costs \u20ac9.99 at example.com."
    assert heard_sentences(sent((text, 5.0), complete=1, unplayed_s=5.0 * (1 - share))) == heard


async def test_an_interrupted_sentence_without_blanks_is_remembered_character_by_character():
    assert heard_sentences(sent(("\u4f60\u597d\u4e16\u754c", 4.0), complete=1, unplayed_s=2.0)) == ["\u4f60\u597d"]
