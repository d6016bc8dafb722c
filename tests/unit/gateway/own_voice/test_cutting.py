"""Long clips are cut at a pause, and their text with them."""

from __future__ import annotations

import numpy as np
import pytest

from services.gateway.own_voice.clip import Clip
from services.gateway.own_voice.cutting import LEAD_S, TAIL_S, fit_clip
from services.gateway.own_voice.transcription import ClipTranscript, SpokenWord

RATE_HZ = 16_000
WORD_S = 0.4


def spoken(*pauses_s, lead_s=1.0, end_s=1.0):
    """A clip with a word of noise before each pause, and its transcript."""
    random = np.random.default_rng(1)
    pieces, words, at = [np.zeros(round(lead_s * RATE_HZ))], [], lead_s
    for number, pause_s in enumerate(pauses_s):
        pieces += [0.1 * random.standard_normal(round(WORD_S * RATE_HZ)), np.zeros(round(pause_s * RATE_HZ))]
        words.append(SpokenWord(f"word{number}", at, at + WORD_S))
        at += WORD_S + pause_s
    pieces.append(np.zeros(round(end_s * RATE_HZ)))
    clip = Clip(np.concatenate(pieces).astype(np.float32), RATE_HZ)
    return clip, ClipTranscript(tuple(words), ((lead_s, at - pauses_s[-1]),))


def test_silence_around_the_speech_is_left_out():
    clip, transcript = spoken(0.1, 0.1, 0.1, 0.0)
    fitted, text = fit_clip(clip, transcript, transcript.text, 2048)
    speech_s = transcript.speech[0][1] - transcript.speech[0][0]
    assert text == "word0 word1 word2 word3"
    assert fitted.duration_s == pytest.approx(speech_s + LEAD_S + TAIL_S, abs=0.01)


def test_a_long_clip_is_cut_at_its_last_pause_that_fits():
    pauses = [0.03] * 30
    pauses[5] = pauses[9] = 0.5
    clip, transcript = spoken(*pauses)
    fitted, text = fit_clip(clip, transcript, transcript.text, 4 * 150)
    assert text.split()[-1] == "word9"
    assert len(text.split()) == 10
    end_s = transcript.words[9].end_s
    assert fitted.duration_s == pytest.approx(end_s + TAIL_S - (1.0 - LEAD_S), abs=0.03)
    assert np.abs(fitted.samples[-round(0.1 * RATE_HZ) :]).max() == 0


def test_speech_without_a_pause_is_cut_between_words():
    clip, transcript = spoken(*[0.02] * 40)
    fitted, text = fit_clip(clip, transcript, transcript.text, 4 * 120)
    count = len(text.split())
    assert text == " ".join(word.text for word in transcript.words[:count])
    assert fitted.duration_s / 0.08 + len(text) <= 120
    assert fitted.duration_s / 0.08 + len(text) > 60


def test_the_callers_text_is_cut_too():
    pauses = [0.03] * 30
    pauses[9] = 0.5
    clip, transcript = spoken(*pauses)
    given = transcript.text.replace("word", "Word")
    _, text = fit_clip(clip, transcript, given, 4 * 150)
    assert text == " ".join(given.split()[:10])
