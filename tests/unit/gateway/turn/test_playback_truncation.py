"""What a listener heard of an interrupted reply."""

from __future__ import annotations

import pytest

from services.gateway.turn.playback_truncation import heard_sentences
from services.gateway.voice.speaker import Spoken

TEN = "one two three four five six seven eight nine ten"


def spoken(*sentences: tuple[str, float], finished: int) -> Spoken:
    reply = Spoken(finished=finished)
    for text, length_s in sentences:
        reply.sentences.append(text)
        reply.starts_s.append(reply.duration_s)
        reply.duration_s += length_s
    return reply


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
def test_interrupted_reply_was_heard_as_far_as_it_was_played(unplayed_s, heard):
    assert heard_sentences(spoken(("First one.", 1.0), (TEN, 4.0), finished=2), unplayed_s) == heard


def test_sentence_whose_sound_was_not_made_to_its_end_was_not_heard_to_its_end():
    half = len(TEN) / 15.0 / 2
    assert heard_sentences(spoken((TEN, half), finished=0), 0.0) == ["one two three four five"]
    assert heard_sentences(Spoken(), 0.0) == []


@pytest.mark.parametrize(
    ("share", "heard"),
    [(0.0, []), (0.3, ["It costs"]), (0.7, ["It costs \u20ac9.99"]), (0.75, ["It costs \u20ac9.99 at"])],
)
def test_an_interrupted_sentence_is_remembered_as_written_word_by_word_as_long_as_each_is_said(share, heard):
    text = "It costs \u20ac9.99 at example.com."
    assert heard_sentences(spoken((text, 5.0), finished=1), 5.0 * (1 - share)) == heard


def test_an_interrupted_sentence_without_blanks_is_remembered_character_by_character():
    assert heard_sentences(spoken(("\u4f60\u597d\u4e16\u754c", 4.0), finished=1), 2.0) == ["\u4f60\u597d"]
