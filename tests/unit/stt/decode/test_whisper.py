"""Whisper with the embedded weights, and with a tiny random multilingual model, whose words are meaningless."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from oviya.errors import CheckpointError
from services.stt.decode.whisper import WhisperRecognizer
from services.stt.decode.words import text_of
from services.stt.recognizer import Request
from services.stt.settings import SttSettings
from tests.support.checkpoints.whisper import write_whisper
from tests.support.speech import LONELY, silence, speak, word_errors
from tests.support.stt_recognizers import whisper

SPOKEN = np.concatenate((silence(0.2), speak(LONELY), silence(0.1)))
SPEECH_S = len(SPOKEN) / 16_000


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory):
    return str(write_whisper(tmp_path_factory.mktemp("checkpoints") / "whisper"))


def loaded(**settings):
    recognizer = WhisperRecognizer(SttSettings(device="cpu", threads=1, **settings))
    recognizer.load()
    return recognizer


def request(sound=SPOKEN, **fields):
    return Request(sound, SPEECH_S, **fields)


@pytest.mark.parametrize("final", [True, False])
def test_a_sentence_is_heard_and_its_words_have_times(final):
    [transcript] = whisper().transcribe([request(final=final)])
    assert word_errors(text_of(transcript.words), LONELY) == 0
    assert transcript.language == "en"
    times = [time_s for word in transcript.words for time_s in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[0] >= 0.0
    assert times[-1] <= SPEECH_S
    assert all(0.0 <= word.confidence <= 1.0 for word in transcript.words)


def test_requests_of_a_batch_are_answered_in_their_order():
    """Those with and without a vocabulary cannot be decoded by one call."""
    thanks = speak("thank you very much for your help")
    sounds = [(SPOKEN, ()), (thanks, ("Oviya",)), (thanks, ()), (SPOKEN, ("Oviya", "Silero"))]
    transcripts = whisper().transcribe([request(sound, vocabulary=vocabulary) for sound, vocabulary in sounds])
    heard = [text_of(transcript.words) for transcript in transcripts]
    assert [text.split()[0] for text in heard] == ["What", "Thank", "Thank", "What"]


@pytest.mark.parametrize("vocabulary", [(), ("Oviya",) * 40])
def test_the_limit_of_a_decode_counts_what_it_writes(monkeypatch, vocabulary):
    """Two of the tokens are timestamps, and the words of the sentence have one each."""
    monkeypatch.setattr("services.stt.decode.whisper.TOKENS_PER_S", 0)
    monkeypatch.setattr("services.stt.decode.whisper.MIN_TOKENS", 6)
    [transcript] = whisper().transcribe([request(vocabulary=vocabulary, final=False)])
    assert 4 <= len(transcript.words) <= 5


def test_the_languages_of_a_multilingual_model_are_detected_or_given(multilingual):
    recognizer = loaded(model=multilingual)
    assert recognizer.info.languages == ("mul",)
    assert recognizer.info.license == ""
    [detected] = recognizer.transcribe([request()])
    assert len(detected.language) in (2, 3)
    given, other = recognizer.transcribe([request(language="de"), request(language="fr")])
    assert (given.language, other.language) == ("de", "fr")


def test_stt_language_sets_the_language_of_all_requests(multilingual):
    recognizer = loaded(model=multilingual, language="ta")
    assert recognizer.info.languages == ("ta",)
    assert [it.language for it in recognizer.transcribe([request(), request(language="de")])] == ["ta", "ta"]


def test_a_language_that_the_model_does_not_know_is_told_at_start(multilingual):
    with pytest.raises(CheckpointError, match="language xx"):
        loaded(model=multilingual, language="xx")
    with pytest.raises(CheckpointError, match="English only") as caught:
        loaded(language="de")
    assert "STT_MODEL" in caught.value.hint


def test_a_model_that_cannot_detect_languages_is_told_at_start_and_works_with_one(multilingual, tmp_path):
    folder = tmp_path / "whisper"
    shutil.copytree(multilingual, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "lang_ids": []}))
    with pytest.raises(CheckpointError, match="lang_ids"):
        loaded(model=str(folder))
    assert loaded(model=str(folder), language="de").info.languages == ("de",)


def test_an_english_model_needs_no_detection():
    assert whisper().info.languages == ("en",)
    [transcript] = whisper().transcribe([request(language="de")])
    assert transcript.language == "en"
