"""The real WhisperX: with the weights of tiny.en and people's speech, and with tiny random checkpoints."""

from __future__ import annotations

import itertools
import shutil
import socket
from datetime import timedelta

import numpy as np
import pytest

from oviya.errors import CheckpointError
from oviya.v1 import stt_pb2, stt_pb2_grpc
from services.stt.decode.whisperx import WhisperXRecognizer
from services.stt.decode.whisperx_aligner import load_aligner
from services.stt.decode.words import text_of
from services.stt.recognizer import Request, Word, to_seconds
from services.stt.settings import SttSettings
from tests.support.checkpoints.whisper import write_aligner, write_whisper
from tests.support.human_speech import prompts, read_prompt
from tests.support.metrics import metric
from tests.support.service_process import ServiceProcess
from tests.support.speech import silence, speak, word_error_rate
from tests.support.stt_calls import TIMEOUT_S, config, finals, pieces, transcribe
from tests.support.transcripts import normalized

pytestmark = pytest.mark.whisperx

START_S = 120.0
SAID = prompts()[::5]
MAX_ERROR_RATE = 0.08
LEAD_S, TAIL_S = 0.5, 2.0
CALLED = "my friend is called catherine"
UNALIGNED = "oviya_stt_unaligned_phrases_total"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fails the test that connects to another machine."""
    connect = socket.socket.connect

    def only_here(self, address):
        assert self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1", "localhost"), address
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)


@pytest.fixture(scope="session")
def aligner(tmp_path_factory):
    return write_aligner(tmp_path_factory.mktemp("checkpoints") / "aligner")


@pytest.fixture(scope="session")
def multilingual(tmp_path_factory):
    return write_whisper(tmp_path_factory.mktemp("checkpoints") / "whisper")


@pytest.fixture(scope="module")
def recognizer():
    return loaded()


@pytest.fixture(scope="module")
def process():
    with ServiceProcess("services.stt", BACKEND="whisperx", SESSIONS="2") as process:
        process.start(START_S)
        yield process


@pytest.fixture
async def stub(process):
    async with process.channel() as channel:
        yield stt_pb2_grpc.SttServiceStub(channel)


def loaded(**settings):
    recognizer = WhisperXRecognizer(SttSettings(backend="whisperx", **settings))
    recognizer.load()
    return recognizer


def decode(recognizer, sound, **fields):
    [transcript] = recognizer.transcribe([Request(np.array(sound), to_seconds(len(sound)), **fields)])
    return transcript


def align(aligner, sound, *texts):
    loaded = load_aligner("en", "cpu", SttSettings(align_model=str(aligner)))
    assert loaded is not None
    return loaded.align(np.array(sound), [Word(text, 0.0, 0.0, 0.9, f" {text}") for text in texts], "en")


def check_times(words, length_s):
    assert all(0.0 <= word.start_s <= word.end_s <= length_s for word in words)
    for word, following in itertools.pairwise(words):
        assert word.start_s <= following.start_s
        assert word.end_s <= following.end_s


def within(stub, prompt):
    sound = np.concatenate((silence(LEAD_S), read_prompt(prompt.name), silence(TAIL_S)))
    return transcribe(stub, config(), *pieces(sound))


async def test_people_are_heard_through_the_service(process, stub):
    heard = [await within(stub, prompt) for prompt in SAID]
    texts = [" ".join(finals(responses)) for responses in heard]
    assert len(SAID) == 31
    assert word_error_rate(texts, [prompt.text for prompt in SAID]) <= MAX_ERROR_RATE, texts
    assert sum(text[0].isupper() and text[-1] in ".?!" for text in texts) >= 20
    for prompt, responses in zip(SAID, heard, strict=True):
        end = timedelta(seconds=LEAD_S + to_seconds(len(read_prompt(prompt.name))) + TAIL_S)
        for response in responses:
            if response.WhichOneof("event") == "final":
                words = response.final.words
                times = [time.ToTimedelta() for word in words for time in (word.start, word.end)]
                assert times == sorted(times)
                assert times[-1] <= end
                assert response.final.language == "en"
    assert process.metric(UNALIGNED) >= len(SAID)


async def test_without_an_aligner_the_service_warns_and_names_attention(process, stub):
    response = await stub.GetModel(stt_pb2.SttServiceGetModelRequest(), timeout=TIMEOUT_S)
    assert (response.model.backend, response.model.name, response.model.license) == ("whisperx", "tiny.en", "MIT")
    assert (list(response.languages), response.vocabulary, response.aligner) == (["en"], True, "attention")
    [warning] = process.events("no aligner, word times come from Whisper's attention")
    assert warning["level"] == "warning"
    assert "STT_ALIGN_MODEL" in warning["reason"]
    # Other lines would be warnings of its packages.
    assert all(line.startswith("{") for line in process.printed().splitlines())


async def test_a_session_names_words_that_it_expects(stub):
    sound = np.concatenate((silence(LEAD_S), speak(CALLED), silence(TAIL_S)))
    [plain] = finals(await transcribe(stub, config(), *pieces(sound)))
    [named] = finals(await transcribe(stub, config(vocabulary=["Kathryn"]), *pieces(sound)))
    assert normalized(plain) == CALLED
    assert normalized(named) == CALLED.replace("catherine", "kathryn")


def test_a_draft_has_words_with_times_and_confidences(recognizer):
    unaligned = metric("stt_unaligned_phrases_total")
    prompt = next(prompt for prompt in prompts() if prompt.name == "queue-thankyou")
    sound = read_prompt(prompt.name)
    transcript = decode(recognizer, sound, final=False)
    assert text_of(transcript.words) == "Thank you for your patience."
    assert [word.text for word in transcript.words] == prompt.text.split()
    check_times(transcript.words, to_seconds(len(sound)))
    assert len({word.confidence for word in transcript.words}) > 1
    assert transcript.words[-1].stop is not None
    assert metric("stt_unaligned_phrases_total") == unaligned


def test_soft_speech_after_a_pause_is_kept(recognizer):
    soft = read_prompt("queue-thankyou") * np.float32(0.1)
    sound = np.concatenate((read_prompt("dir-welcome"), silence(0.7), soft))
    heard = normalized(text_of(decode(recognizer, sound).words))
    assert heard == "welcome to the directory thank you for your patience"


def test_an_aligner_gives_the_times(recognizer, aligner):
    aligned = loaded(align_model=str(aligner))
    assert aligned.info.aligner == "aligner"
    unaligned = metric("stt_unaligned_phrases_total")
    for prompt in prompts()[::50]:
        sound = read_prompt(prompt.name)
        words, attended = decode(aligned, sound).words, decode(recognizer, sound).words
        assert [word.written for word in words] == [word.written for word in attended]
        assert [word.confidence for word in words] == pytest.approx([word.confidence for word in attended], abs=0.05)
        assert [word.start_s for word in words] != [word.start_s for word in attended]
        check_times(words, to_seconds(len(sound)))
    # Only the decodes of the other recognizer are counted.
    assert metric("stt_unaligned_phrases_total") == unaligned + len(prompts()[::50])


def test_words_with_characters_that_the_aligner_does_not_know_are_aligned(aligner):
    texts = ["i'm", "42", "well-known", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"]
    sound = speak(CALLED)
    words = align(aligner, sound, *texts)
    assert words is not None
    assert [word.text for word in words] == texts
    assert {word.confidence for word in words} == {0.9}
    assert words[-1].end_s > 0.0
    check_times(words, to_seconds(len(sound)))


def test_more_words_than_fit_into_the_sound_are_not_aligned(aligner):
    assert align(aligner, silence(0.1), *CALLED.split()) is None


def test_a_language_is_detected_and_an_aligner_of_another_language_is_not_used(multilingual, aligner):
    recognizer = loaded(model=str(multilingual), align_model=str(aligner))
    assert recognizer.info.languages == ("mul",)
    assert recognizer.info.license == ""
    sound = speak(CALLED)
    assert len(decode(recognizer, sound).language) in (2, 3)
    unaligned = metric("stt_unaligned_phrases_total")
    german = decode(recognizer, sound, language="de")
    assert german.language == "de"
    assert german.words
    check_times(german.words, to_seconds(len(sound)))
    assert metric("stt_unaligned_phrases_total") == unaligned + 1


def test_a_language_that_the_model_does_not_understand_is_refused():
    with pytest.raises(CheckpointError, match="English only"):
        loaded(language="de")


def test_an_unknown_language_is_refused(multilingual):
    with pytest.raises(CheckpointError, match="xx"):
        loaded(model=str(multilingual), language="xx")


@pytest.mark.parametrize("setting", ["model", "align_model"])
def test_a_model_that_is_missing_is_not_downloaded(setting):
    with pytest.raises(CheckpointError, match="not found") as caught:
        loaded(**{setting: "nobody/nothing"})
    assert "STT_ALLOW_DOWNLOAD" in caught.value.hint


def test_a_broken_model_is_reported(multilingual, tmp_path):
    folder = tmp_path / "whisper"
    shutil.copytree(multilingual, folder)
    (folder / "model.bin").write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match="cannot load the Whisper model"):
        loaded(model=str(folder))


def test_a_broken_aligner_is_reported_with_its_cause(aligner, tmp_path):
    folder = tmp_path / "aligner"
    shutil.copytree(aligner, folder)
    (folder / "config.json").write_text("{not json")
    with pytest.raises(CheckpointError, match=r"aligner.*config\.json"):
        loaded(align_model=str(folder))
