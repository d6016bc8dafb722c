"""The real WhisperX, whisperx.asr and its aligner, with tiny random checkpoints, whose words are meaningless."""

from __future__ import annotations

import itertools
import shutil
import socket

import numpy as np
import pytest

from oviya.errors import CheckpointError
from oviya.v1 import common_pb2, stt_pb2, stt_pb2_grpc
from services.stt.backends import make_engine
from services.stt.decode.whisperx_backend import WhisperXBackend, speech_spans
from services.stt.endpoint.vad import SileroVad
from services.stt.engine.events import Final, LikelyEnd, Partial, TurnEnded
from services.stt.server import SttService
from services.stt.settings import SttSettings
from tests.support.checkpoints.whisper import write_aligner, write_whisper
from tests.support.serving import serve_for_test
from tests.support.speech import SAD, silence, speak

pytestmark = pytest.mark.whisperx


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        "whisperx_model": str(write_whisper(folder / "whisper")),
        "whisperx_align_model": str(write_aligner(folder / "aligner")),
    }


@pytest.fixture
def settings(checkpoints):
    def settings(**changes):
        values = {"backend": "whisperx", "sessions": 1, "whisperx_language": "en", "whisperx_threads": 1}
        return SttSettings(**{**values, **checkpoints, **changes})

    return settings


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fails the test that connects to another machine."""
    connect = socket.socket.connect

    def only_here(self, address):
        assert self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1", "localhost"), address
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)


SENTENCE = np.concatenate((silence(0.3), speak(SAD), silence(1.6)))


async def hear(engine, sound, **session):
    with engine.session(16_000, **session) as running:
        await running.open()
        events = []
        for start in range(0, len(sound), 1600):
            events += [event async for event in running.push(sound[start : start + 1600])]
        return events + await running.finish()


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


async def test_a_sentence_becomes_partials_and_words_with_times(settings):
    engine = make_engine(settings(whisperx_partial_s=0.2))
    await engine.start()
    events = await hear(engine, SENTENCE)
    [final], [ended] = of(Final, events), of(TurnEnded, events)
    assert final.words
    for word, following in itertools.pairwise(final.words):
        assert word.start_s <= word.end_s <= following.start_s + 0.05
    assert final.words[0].start_s >= 0.0
    assert final.words[-1].end_s <= ended.at_s
    assert len({word.confidence for word in final.words}) > 1  # the aligner's scores, not the estimate's constant
    texts = [partial.text.split() for partial in of(Partial, events)]
    assert texts
    for before, after in itertools.pairwise([*texts, final.text.split()]):
        assert after[: len(before)] == before
    assert [likely.text for likely in of(LikelyEnd, events)] in ([], [final.text])
    assert engine.info.backend == "whisperx"
    assert engine.info.vocabulary
    await engine.close()


async def test_the_language_is_found_out_and_an_aligner_that_does_not_fit_is_not_used(settings):
    backend = WhisperXBackend(settings(whisperx_language="auto"))
    backend.load()
    transcript = backend.transcribe(speak(SAD), (), None, draft=False)
    assert len(transcript.language) in (2, 3)
    words = backend.align(speak(SAD), ["guten", "tag"], "xx")
    assert [word.text for word in words] == ["guten", "tag"]
    assert words[0].end_s == words[1].start_s


def test_a_vocabulary_changes_what_is_heard(settings):
    backend = WhisperXBackend(settings())
    backend.load()
    plain = backend.transcribe(speak(SAD), (), None, draft=True)
    assert backend.transcribe(speak(SAD), (), None, draft=True) == plain
    assert backend.transcribe(speak(SAD), ("Oviya", "Silero"), None, draft=True) != plain


def test_silence_is_not_decoded(settings):
    backend = WhisperXBackend(settings())
    backend.load()
    assert backend.transcribe(silence(2.0), (), None, draft=False).words == ()


def test_speech_longer_than_whispers_window_is_cut_where_nobody_speaks():
    sentence = np.concatenate((speak(SAD), silence(0.5)))
    sound = np.tile(sentence, 15)
    spans = speech_spans(SileroVad(), sound)
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]
    assert (spans[0][0], spans[-1][1]) == (0, len(sound))
    assert max(end - start for start, end in spans) <= 30 * 16_000
    for _, end in spans[:-1]:
        assert np.abs(sound[end - 800 : end + 800]).max() < 0.05


@pytest.mark.parametrize("setting", ["whisperx_model", "whisperx_align_model"])
def test_a_model_that_is_not_here_is_not_fetched(settings, setting):
    with pytest.raises(CheckpointError, match="not here") as caught:
        WhisperXBackend(settings(**{setting: "nobody/nothing"})).load()
    assert "STT_ALLOW_DOWNLOAD" in caught.value.hint


def test_a_folder_without_a_tokenizer_is_named(settings, tmp_path):
    (tmp_path / "model.bin").touch()
    (tmp_path / "config.json").touch()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        WhisperXBackend(settings(whisperx_model=str(tmp_path))).load()


def test_what_is_wrong_with_an_aligner_is_told(settings, checkpoints, tmp_path):
    folder = tmp_path / "aligner"
    shutil.copytree(checkpoints["whisperx_align_model"], folder)
    (folder / "config.json").write_text("{not json")
    with pytest.raises(CheckpointError, match=r"aligner.*config\.json"):
        WhisperXBackend(settings(whisperx_align_model=str(folder))).load()


async def test_it_is_served(settings):
    async def requests():
        audio_format = common_pb2.AudioFormat(encoding=common_pb2.AUDIO_ENCODING_PCM_F32LE, sample_rate_hz=16_000)
        yield stt_pb2.TranscribeRequest(config=stt_pb2.TranscribeConfig(format=audio_format, vocabulary=["Oviya"]))
        for start in range(0, len(SENTENCE), 1600):
            yield stt_pb2.TranscribeRequest(audio=SENTENCE[start : start + 1600].astype("<f4").tobytes())

    async with serve_for_test(SttService(settings())) as served:
        stub = stt_pb2_grpc.SttServiceStub(served.channel)
        model = await stub.GetModel(stt_pb2.SttServiceGetModelRequest(), timeout=60)
        assert (model.model.backend, model.model.device, model.vocabulary) == ("whisperx", "cpu", True)
        responses = [response async for response in stub.Transcribe(requests(), timeout=120)]
    kinds = [response.WhichOneof("event") for response in responses]
    assert kinds[0] == "speech_started"
    assert kinds[-2:] == ["final", "turn_ended"]
    assert responses[-2].final.words
