"""Partials: how often they come, and that committed words stay."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from services.stt.engine.events import Final, LikelyEnd, Partial, SpeechStarted, TurnEnded
from services.stt.recognizer import Word
from tests.support.speech import SAD, silence, speak, word_errors
from tests.support.stt_session import join, of, push_all


def test_partials_come_at_least_every_300_ms_of_speech(open_session):
    events = push_all(open_session(), join(silence(0.5), speak(SAD), silence(1.0)))
    partials, ended = of(Partial, events), of(TurnEnded, events)[0]
    times = [of(SpeechStarted, events)[0].at_s, *(partial.at_s for partial in partials), ended.speech_end_s]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times) if later > earlier]
    assert len(partials) >= 8
    assert max(gaps) <= 0.3
    assert len({partial.text for partial in partials}) >= 5
    assert partials[-1].text == of(Final, events)[0].text  # sent in the pause, before it has ended the turn
    assert next(partial.at_s for partial in partials if partial.text) - times[0] <= 0.6


NOISY, SEVERAL_PHRASES = (
    0.004,
    join(silence(0.5), speak("i had a long day at work"), silence(0.1), speak("and my boss was angry"), silence(1.0)),
)


@pytest.mark.parametrize("noise", [0.0, NOISY])
@pytest.mark.parametrize("sound", [join(silence(0.5), speak(SAD), silence(1.0)), SEVERAL_PHRASES])
def test_no_committed_word_is_withdrawn_by_a_partial_a_likely_end_or_the_final(open_session, sound, noise):
    """Without noise suppression the hypotheses change a lot."""
    noisy = sound + np.random.default_rng(1).normal(0, noise, len(sound)).astype(np.float32)
    events = push_all(open_session(), noisy)
    texts = [event.text.split() for event in of((Partial, LikelyEnd, Final), events)]
    assert len(of(Final, events)) == 1
    for before, after in itertools.pairwise(texts):
        assert after[: len(before)] == before


def test_the_final_keeps_committed_words_whatever_the_last_decode_returns(open_session, recognizer, monkeypatch):
    monkeypatch.setattr(recognizer, "end_phrase", lambda committed: [Word("nonsense", 0.1, 0.4, 1.0)])
    session = open_session()
    events = push_all(session, join(silence(0.5), speak(SAD), silence(1.0)))
    committed = [
        partial.text for partial in of(Partial, events) if partial.at_s < of(TurnEnded, events)[0].speech_end_s
    ]
    final = of(Final, events)[0]
    assert len(committed[-1].split()) >= 3
    assert final.text.startswith(committed[-1])
    assert all(word.start_s <= word.end_s for word in final.words)
    # The phrase was not ended in the decoder, which must still work afterwards.
    monkeypatch.undo()
    assert word_errors(of(Final, push_all(open_session(), join(speak(SAD), silence(1.0))))[0].text, SAD) <= 2
