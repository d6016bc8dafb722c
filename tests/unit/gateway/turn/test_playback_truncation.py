"""Replies as far as they were heard."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.turn.playback_truncation import heard_sentences, unheard_sentences
from services.gateway.voice.speech_handle import SpeechHandle
from tests.support.segments import new_speech, say, start

pytestmark = pytest.mark.virtual_time

TEN = "one two three four five six seven eight nine ten"


async def cut(*sentences: tuple[str, float], after_s: float, whole: bool = True) -> SpeechHandle:
    """A reply that was interrupted `after_s` seconds after its start."""
    speech, _ = new_speech(lead_s=60.0)

    async def speaking(speech: SpeechHandle) -> None:
        for text, length_s in sentences:
            await say(speech, text, length_s, whole=whole)
        await asyncio.Event().wait()

    start(speech, speaking)
    await asyncio.sleep(after_s)
    speech.interrupt()
    await speech.wait()
    return speech


@pytest.mark.parametrize(
    ("after_s", "heard", "unheard"),
    [
        (5.0, ["First one.", TEN], []),
        (3.0, ["First one.", "one two three four five"], ["six seven eight nine ten"]),
        (1.1, ["First one."], [TEN]),
        (1.0, ["First one."], [TEN]),
        (0.5, ["First"], ["one.", TEN]),
        (0.0, [], ["First one.", TEN]),
    ],
)
async def test_interrupted_reply_was_heard_as_far_as_it_was_played(after_s, heard, unheard):
    speech = await cut(("First one.", 1.0), (TEN, 4.0), after_s=after_s)
    assert (heard_sentences(speech), unheard_sentences(speech)) == (heard, unheard)


async def test_sentence_whose_sound_was_not_made_to_its_end_was_not_heard_to_its_end():
    half = len(TEN) / 15.0 / 2
    assert heard_sentences(await cut((TEN, half), after_s=half, whole=False)) == ["one two three four five"]
    assert heard_sentences(new_speech()[0]) == []


@pytest.mark.parametrize(
    ("share", "heard"),
    [(0.0, []), (0.3, ["It costs"]), (0.7, ["It costs \u20ac9.99"]), (0.75, ["It costs \u20ac9.99 at"])],
)
async def test_an_interrupted_sentence_is_remembered_as_written_word_by_word_as_long_as_each_is_said(share, heard):
    assert heard_sentences(await cut(("It costs \u20ac9.99 at example.com.", 5.0), after_s=5.0 * share)) == heard


async def test_an_interrupted_sentence_without_blanks_is_remembered_character_by_character():
    assert heard_sentences(await cut(("\u4f60\u597d\u4e16\u754c", 4.0), after_s=2.0)) == ["\u4f60\u597d"]
