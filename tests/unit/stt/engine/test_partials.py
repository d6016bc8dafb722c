"""Partials: how often they come, and that committed words stay."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from services.stt.decode.words import without_closing
from services.stt.engine.events import Final, LikelyEnd, Partial, SpeechStarted, TurnEnded
from tests.support.speech import LONELY, silence, speak, word_errors
from tests.support.stt_recognizers import ScriptedRecognizer
from tests.support.stt_session import HeldDecodes, join, of, plain_words, push_all


def assert_no_word_is_withdrawn(events):
    before = []
    for event in of((Partial, LikelyEnd, Final), events):
        words = plain_words(event.text)
        assert words[: len(before)] == before
        if isinstance(event, Partial):  # a likely end may be void
            before = words


def test_partials_come_at_least_every_300_ms_of_speech(open_session):
    events = push_all(open_session(), join(silence(0.5), speak(LONELY), silence(1.0)))
    partials, ended = of(Partial, events), of(TurnEnded, events)[0]
    times = [of(SpeechStarted, events)[0].at_s, *(partial.at_s for partial in partials), ended.speech_end_s]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times) if later > earlier]
    assert len(partials) >= 6
    assert max(gaps) <= 0.3
    assert len({partial.text for partial in partials}) >= 4
    assert all(partial.text == without_closing(partial.text) for partial in partials)
    assert next(partial.at_s for partial in partials if partial.text) - times[0] <= 1.0


def test_partials_come_as_often_while_no_draft_has_finished(open_waiting_session):
    """The API promises it, on a busy machine too."""
    sound = join(silence(0.5), speak(LONELY))
    events = push_all(open_waiting_session(HeldDecodes()), sound)
    times = [event.at_s for event in of((SpeechStarted, Partial), events)]
    assert len(times) >= 6
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 0.3
    assert {partial.text for partial in of(Partial, events)} == {""}


def test_partials_are_written_as_sentences_without_the_punctuation_at_their_end(open_session):
    recognizer = ScriptedRecognizer(
        "Hello,", "Hello, my", "Hello, my name", "Hello, my name", "Hello. My name is Anna."
    )
    events = push_all(open_session(recognizer=recognizer), join(silence(0.5), speak(LONELY), silence(1.0)))
    texts = [partial.text for partial in of(Partial, events)]
    assert list(dict.fromkeys(texts))[:3] == ["", "Hello", "Hello, my"]
    assert texts[-1] == "Hello. My name is Anna"
    assert of(Final, events)[0].text == "Hello. My name is Anna."


SEVERAL_PHRASES = join(
    silence(0.5), speak("i had a long day at work"), silence(0.1), speak("and my boss was angry"), silence(1.0)
)


@pytest.mark.parametrize("noise", [0.0, 0.004])
@pytest.mark.parametrize("sound", [join(silence(0.5), speak(LONELY), silence(1.0)), SEVERAL_PHRASES])
def test_no_committed_word_is_withdrawn_by_a_partial_a_likely_end_or_the_final(open_session, sound, noise):
    """In noise the hypotheses change a lot."""
    noisy = sound + np.random.default_rng(1).normal(0, noise, len(sound)).astype(np.float32)
    events = push_all(open_session(), noisy)
    assert len(of(Final, events)) == 1
    assert_no_word_is_withdrawn(events)


@pytest.mark.parametrize("text", ["my number is five five five", "call me at five five five one two three"])
@pytest.mark.parametrize("voice", ["slt", "rms"])
def test_digits_that_are_read_out_are_not_committed_one_by_one(open_session, text, voice):
    """Whisper writes "5" and later "555"."""
    events = push_all(open_session(), join(silence(0.5), speak(text, voice=voice), silence(1.0)))
    digits = "".join(filter(str.isdigit, of(Final, events)[0].text))
    assert digits == {"my": "555", "call": "555123"}[text.split()[0]]
    assert_no_word_is_withdrawn(events)


def test_what_a_draft_repeats_is_not_committed(open_session):
    """Whisper may repeat a few words again and again if it gets little sound."""
    events = push_all(open_session(), join(silence(0.5), speak("thank you very much", voice="rms"), silence(1.0)))
    assert plain_words(of(Final, events)[0].text) == ["thank", "you", "very", "much"]
    assert_no_word_is_withdrawn(events)


def test_the_final_keeps_committed_words_whatever_the_last_decode_returns(open_session, recognizer):
    class Forgetful:
        """Decodes drafts only."""

        info, max_batch = recognizer.info, 1

        def transcribe(self, requests):
            return (nonsense if requests[0].final else recognizer).transcribe(requests)

    nonsense = ScriptedRecognizer("Nonsense.")
    events = push_all(open_session(recognizer=Forgetful()), join(silence(0.5), speak(LONELY), silence(1.0)))
    speech_end_s = of(TurnEnded, events)[0].speech_end_s
    committed = [plain_words(partial.text) for partial in of(Partial, events) if partial.at_s < speech_end_s]
    [final] = of(Final, events)
    assert len(committed[-1]) >= 3
    assert plain_words(final.text)[: len(committed[-1])] == committed[-1]
    assert all(word.start_s <= word.end_s for word in final.words)
    assert word_errors(of(Final, push_all(open_session(), join(speak(LONELY), silence(1.0))))[0].text, LONELY) == 0
