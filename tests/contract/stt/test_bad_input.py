"""Requests that are not valid, and sound that is not speech."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from oviya.audio.pcm import F32LE
from oviya.errors import InvalidInput
from oviya.v1 import stt_pb2
from tests.support.espeak_speech import speak_in_language
from tests.support.sounds import SOUNDS
from tests.support.speech import silence, speak, word_errors
from tests.support.stt_calls import (
    END_TURN,
    THANKS,
    assert_hears,
    audio,
    config,
    ends,
    failure,
    finals,
    pieces,
    transcribe,
)
from tests.support.transcripts import normalized

NOT_A_NUMBER, INFINITE = np.full(160, np.nan, "<f4").tobytes(), np.full(160, -np.inf, "<f4").tobytes()
SHORT_SILENCE, LONG_SILENCE = config(), config()
SHORT_SILENCE.config.end_silence.FromMilliseconds(199)
LONG_SILENCE.config.end_silence.FromMilliseconds(5_001)


@pytest.mark.parametrize(
    ("requests", "field", "value", "limit"),
    [
        pytest.param([], "config", "an empty stream", "first message", id="empty stream"),
        pytest.param([audio(b"\0\0")], "config", "audio", "first message", id="audio before config"),
        pytest.param([END_TURN], "config", "end_turn", "first message", id="end before config"),
        pytest.param([stt_pb2.TranscribeRequest()], "config", "", "first message", id="unset first message"),
        pytest.param([config(), config()], "config", "a second one", "only the first", id="second config"),
        pytest.param([config(), stt_pb2.TranscribeRequest()], "request", "", "audio or end_turn", id="unset message"),
        pytest.param(
            [stt_pb2.TranscribeRequest(config=stt_pb2.TranscribeConfig())], "config.format", "", "set", id="no format"
        ),
        pytest.param([config(0)], "config.format.sample_rate_hz", "0", "8000 to 48000 Hz", id="rate unset"),
        pytest.param([config(7_999)], "config.format.sample_rate_hz", "7999", "8000 to 48000 Hz", id="rate too low"),
        pytest.param([config(48_001)], "config.format.sample_rate_hz", "48001", "8000 to 48000 Hz", id="rate too high"),
        pytest.param([config(encoding=9)], "config.format.encoding", "9", "PCM_S16LE or PCM_F32LE", id="encoding"),
        pytest.param([config(session_id="x" * 129)], "config.session_id", "x" * 99 + "…", "128", id="session id"),
        pytest.param([SHORT_SILENCE], "config.end_silence", "0.199 s", "0.2 to 5 s", id="silence too short"),
        pytest.param([LONG_SILENCE], "config.end_silence", "5.001 s", "0.2 to 5 s", id="silence too long"),
        pytest.param([config(vocabulary=["a"] * 101)], "config.vocabulary", "101 entries", "100", id="much vocabulary"),
        pytest.param([config(vocabulary=["a", " "])], "config.vocabulary[1]", " ", "1 to 64", id="empty word"),
        pytest.param([config(vocabulary=["<|en|>"])], "config.vocabulary[0]", "<|en|>", "<|", id="special token"),
        pytest.param([config(vocabulary=["x" * 65])], "config.vocabulary[0]", "x" * 65, "64", id="long word"),
        pytest.param([config(), audio(b"\0" * 321)], "audio", "321 bytes", "2 bytes", id="odd bytes"),
        pytest.param([config(encoding=F32LE), audio(b"\0" * 6)], "audio", "6 bytes", "4 bytes", id="part of a float"),
        pytest.param([config(encoding=F32LE), audio(NOT_A_NUMBER)], "audio[0]", "nan", "finite", id="NaN"),
        pytest.param([config(encoding=F32LE), audio(INFINITE)], "audio[0]", "-inf", "finite", id="infinity"),
        pytest.param(
            [config(), audio(b"\0" * (1 << 20) + b"\0\0")], "audio", "1048578 bytes", "1048576 bytes", id="too much"
        ),
    ],
)
async def test_bad_input_is_named_and_disturbs_nothing(stub, requests, field, value, limit):
    code, error = await failure(stub, *requests)
    await assert_hears(stub)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(error, InvalidInput)
    assert (error.field, error.value) == (field, value)
    assert limit in error.limit


async def test_the_largest_vocabulary_stalls_nothing(stub):
    names = [f"{number:02} " + "Llanfair " * 6 for number in range(100)]
    responses = await transcribe(stub, config(vocabulary=names), *pieces(speak(THANKS)))
    assert len(finals(responses)) == len(ends(responses)) == 1
    await assert_hears(stub)


async def test_empty_audio_and_no_audio_are_no_mistakes(stub):
    assert await transcribe(stub, config()) == []
    assert await transcribe(stub, config(), audio(b""), END_TURN, audio(b"")) == []
    await assert_hears(stub)


@pytest.mark.slow
async def test_ten_minutes_of_silence_say_nothing(stub):
    second = audio(bytes(32_000))
    assert await transcribe(stub, config(), *[second] * 600) == []
    await assert_hears(stub)


async def test_loud_and_clipped_sound_is_heard_without_harm(stub):
    noise = np.random.default_rng(5).normal(0, 3, 5 * 16_000).astype(np.float32)
    responses = await transcribe(stub, config(encoding=F32LE), *pieces(noise, F32LE), *pieces(silence(1), F32LE))
    assert len(finals(responses)) == len(ends(responses))
    await assert_hears(stub)


async def test_another_language_makes_whole_turns(stub):
    german = speak_in_language("Guten Morgen. Wie komme ich von hier zum Bahnhof, bitte?", "de")
    responses = await transcribe(stub, config(), *pieces(np.concatenate((silence(0.5), german, silence(2.0)))))
    assert len(finals(responses)) == len(ends(responses)) >= 1
    assert any(finals(responses))  # tiny.en writes what it sounds like in English
    await assert_hears(stub)


@pytest.mark.parametrize("name", ["music", "keyboard", "street"])
async def test_sound_without_speech_makes_no_words(stub, name):
    responses = await transcribe(stub, config(), *pieces(SOUNDS[name](15.0, 7)))
    assert "".join(finals(responses)) == ""
    assert len(finals(responses)) == len(ends(responses))
    await assert_hears(stub)


async def test_speech_after_music_is_heard(stub):
    sound = np.concatenate((SOUNDS["music"](10.0, 1), silence(1.0), speak(THANKS), silence(1.0)))
    text = finals(await transcribe(stub, config(), *pieces(sound)))[-1]
    assert word_errors(normalized(text), THANKS) <= 1
