"""Sessions with the real weights: sound that is not speech has no words, and short answers are heard."""

from __future__ import annotations

import numpy as np
import pytest

from services.stt.decode.whisper import WhisperRecognizer
from services.stt.endpoint.smart_turn import SmartTurn
from services.stt.endpoint.vad import SileroVad
from services.stt.engine.events import Final, Partial
from services.stt.settings import SttSettings
from tests.support.sounds import SOUNDS
from tests.support.speech import silence, speak
from tests.support.stt_session import ADAPTIVE, InlineSession, of, push_all

SECONDS = 60.0
TAKEN_FOR_SPEECH = ("tones", "knocks")
"""The voice detector takes parts of these for speech, so that they reach the recognizer."""


@pytest.fixture(scope="module")
def transcribe():
    recognizer, vad, smart_turn = WhisperRecognizer(SttSettings()), SileroVad(), SmartTurn()
    recognizer.load()

    def run(sound):
        session = InlineSession(recognizer, vad.stream(), smart_turn, 16_000, ADAPTIVE)
        return push_all(session, sound, chunk=16_000) + session.finish()

    return run


def texts(events):
    return [word.text for event in of(Final, events) for word in event.words] + [
        event.text for event in of(Partial, events) if event.text
    ]


@pytest.mark.parametrize("name", TAKEN_FOR_SPEECH)
def test_what_the_voice_detector_takes_for_speech_has_no_words(transcribe, name):
    events = transcribe(SOUNDS[name](SECONDS, 2))
    assert of(Final, events)
    assert texts(events) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SOUNDS.keys() - set(TAKEN_FOR_SPEECH)))
def test_a_minute_without_speech_has_no_words(transcribe, name):
    assert texts(transcribe(SOUNDS[name](SECONDS, 2))) == []


@pytest.mark.parametrize("word", ["yes", "no", "okay", "bye", "thank you"])
def test_short_answers_are_heard(transcribe, word):
    sound = np.concatenate((silence(0.8), speak(word, 16_000, "slt"), silence(1.5)))
    finals = of(Final, transcribe(sound))
    assert [" ".join(it.text for it in final.words) for final in finals] == [word]
