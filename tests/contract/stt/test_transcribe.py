"""Transcribe on a real server: sentences, turns and their words."""

from __future__ import annotations

from datetime import timedelta

import grpc
import numpy as np
import pytest

from oviya.audio.pcm import F32LE, S16LE
from oviya.v1 import stt_pb2
from tests.support.speech import SAD, plain_words, silence, speak, word_errors
from tests.support.stt_calls import (
    END_TURN,
    THANKS,
    TIMEOUT_S,
    config,
    ends,
    finals,
    pieces,
    sentence,
    transcribe,
)


@pytest.mark.parametrize(
    ("rate_hz", "encoding"), [(8_000, S16LE), (16_000, F32LE), (24_000, S16LE), (44_100, F32LE), (48_000, S16LE)]
)
async def test_a_sentence_is_heard(stub, rate_hz, encoding):
    sound = sentence(rate_hz, voice="rms" if rate_hz == 8_000 else "slt")
    responses = await transcribe(stub, config(rate_hz, encoding), *pieces(sound, encoding, rate_hz // 50))
    kinds = [response.WhichOneof("event") for response in responses]
    assert kinds[0] == "speech_started"
    assert kinds[-2:] == ["final", "turn_ended"]
    assert set(kinds[1:-2]) == {"partial", "speech_stopped", "likely_end"}
    final, ended = responses[-2].final, responses[-1].turn_ended
    assert word_errors(final.text, SAD) <= 2
    assert [word.text for word in final.words] == plain_words(final.text)
    assert ended.reason == stt_pb2.TURN_END_REASON_SILENCE
    speech = (responses[0].speech_started.start.ToTimedelta(), ended.speech_end.ToTimedelta())
    slack = timedelta(seconds=0.15)
    for word in final.words:
        assert speech[0] - slack <= word.start.ToTimedelta() < word.end.ToTimedelta() <= speech[1] + slack
    positions = [response.at.ToTimedelta() for response in responses]
    assert positions == sorted(positions)
    assert positions[-1] <= timedelta(seconds=len(sound) / rate_hz)


@pytest.mark.parametrize("noise", [0.0, 0.004])
async def test_committed_words_are_never_withdrawn(stub, noise):
    sound = sentence() + np.random.default_rng(1).normal(0, noise, len(sentence())).astype(np.float32)
    responses = await transcribe(stub, config(), *pieces(sound), *pieces(sound))
    sent: dict[int, list[str]] = {}
    for response in responses:
        kind = response.WhichOneof("event")
        if kind in ("partial", "likely_end", "final"):
            words, before = plain_words(getattr(response, kind).text), sent.get(response.turn, [])
            assert words[: len(before)] == before
            if kind != "likely_end":  # resumed may take its words back
                sent[response.turn] = words
    assert len(sent) == len(finals(responses)) == 2
    assert min(len(words) for words in sent.values()) >= 5


async def test_the_model_is_described(stub):
    answer = await stub.GetModel(stt_pb2.SttServiceGetModelRequest(), timeout=TIMEOUT_S)
    assert answer.model.backend == "ctranslate2"
    assert answer.model.name == "tiny.en"
    assert answer.model.license == "MIT"
    assert answer.model.trained
    assert answer.vocabulary
    assert answer.aligner == "attention"
    assert list(answer.languages) == ["en"]


async def test_a_session_has_many_turns_and_each_way_to_end_one(stub):
    sound = speak(SAD)
    responses = await transcribe(
        stub,
        config(),
        *pieces(sentence()),
        *pieces(sound),
        END_TURN,
        END_TURN,
        *pieces(silence(0.5)),
        *pieces(sound),
    )
    assert [end.reason for end in ends(responses)] == [
        stt_pb2.TURN_END_REASON_SILENCE,
        stt_pb2.TURN_END_REASON_REQUESTED,
        stt_pb2.TURN_END_REASON_STREAM_END,
    ]
    assert [word_errors(text, SAD) <= 2 for text in finals(responses)] == [True] * 3
    assert [response.turn for response in responses if response.WhichOneof("event") == "final"] == [0, 1, 2]


async def test_end_turn_is_answered_while_the_stream_stays_open(stub):
    call = stub.Transcribe(timeout=TIMEOUT_S)
    for request in (config(), *pieces(np.concatenate((silence(0.3), speak(SAD)))), END_TURN):
        await call.write(request)
    responses = []
    while not ends(responses):
        responses.append(await call.read())
    assert word_errors(finals(responses)[0], SAD) <= 2
    assert ends(responses)[0].reason == stt_pb2.TURN_END_REASON_REQUESTED
    await call.done_writing()
    assert await call.read() == grpc.aio.EOF


async def test_the_callers_end_silence_is_kept(stub):
    request = config()
    request.config.end_silence.FromMilliseconds(1_500)
    sound = np.concatenate((silence(0.3), speak(SAD), silence(1.0), speak("thank you very much"), silence(2.0)))
    assert len(finals(await transcribe(stub, request, *pieces(sound)))) == 1
    assert len(finals(await transcribe(stub, config(), *pieces(sound)))) == 2


@pytest.mark.slow
async def test_sound_that_comes_sample_by_sample_is_heard(stub):
    sound = np.concatenate((silence(0.1), speak(THANKS), silence(0.6)))
    responses = await transcribe(stub, config(), *pieces(sound, samples=1), END_TURN)
    assert word_errors(finals(responses)[0], THANKS) <= 1
