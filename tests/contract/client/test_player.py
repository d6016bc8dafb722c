"""A recording is sent at the pace of speech, followed by silence, against a scripted gateway on a real port."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from oviya.audio.pcm import S16LE, decode_pcm, encode_pcm
from oviya.cli import player
from oviya.cli.player import play_recording
from oviya.client import Oviya
from oviya.errors import Busy, NotReady, Timeout, Unsupported
from oviya.mesh.service import Service
from oviya.mesh.settings import ServiceSettings
from oviya.v1 import common_pb2, conversation_pb2, conversation_pb2_grpc, stt_pb2
from tests.support.serving import serve_for_test

RATE_HZ = 16_000
SPEECH = np.full(RATE_HZ * 3 // 10, 0.25, np.float32)
REPLY = np.full(2400, 0.5, np.float32)


class Listener(conversation_pb2_grpc.ConversationServiceServicer):
    """Hears one turn, which lasts until so many seconds have come in, and answers it."""

    def __init__(self, turn_s: float | None, *, refuse: bool = False, leave: bool = False, hang: bool = False):
        self.turn_s, self.refuse, self.leave, self.hang = turn_s, refuse, leave, hang
        self.heard = np.zeros(0, np.float32)
        self.half_closed = False

    async def Speak(self, request, context):
        yield conversation_pb2.SpeakResponse()

    async def ExportSession(self, request, context):
        raise Unsupported("this gateway keeps no sessions")

    async def DeleteSession(self, request, context):
        raise Unsupported("this gateway keeps no sessions")

    async def Converse(self, request_iterator, context):
        response = conversation_pb2.ConverseResponse
        async for request in request_iterator:
            if request.HasField("config"):
                output = request.config.output
                yield response(session_started=conversation_pb2.SessionStarted(session_id="s", output=output))
                if self.turn_s is not None:
                    yield response(speech_started=stt_pb2.SpeechStarted())
                continue
            if self.refuse:
                raise Busy("no room", retry_after_s=1)
            if self.leave:
                return
            self.heard = np.concatenate([self.heard, decode_pcm(request.audio, S16LE)])
            if self.turn_s is not None and len(self.heard) >= self.turn_s * RATE_HZ:
                self.turn_s = None
                end = Duration(nanos=300_000_000)
                yield response(turn_ended=stt_pb2.TurnEnded(speech_end=end))
                audio_format = common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=24_000)
                yield response(audio=common_pb2.Audio(format=audio_format, pcm=encode_pcm(REPLY, S16LE)))
                yield response(reply_ended=conversation_pb2.ReplyEnded(duration=Duration(nanos=100_000_000)))
        self.half_closed = True
        if self.hang:
            await asyncio.Event().wait()


class ListenerService(Service[ServiceSettings]):
    name = "gateway"
    grpc_services = ("oviya.v1.ConversationService",)

    def __init__(self, listener: Listener):
        super().__init__(ServiceSettings())
        self.listener = listener

    def register(self, server):
        conversation_pb2_grpc.add_ConversationServiceServicer_to_server(self.listener, server)

    async def start(self):
        pass


@pytest.fixture(autouse=True)
def short_silence(monkeypatch):
    monkeypatch.setattr(player, "CLOSING_SILENCE_S", 0.1)
    monkeypatch.setattr(player, "LONGEST_SILENCE_S", 2.0)


async def played(listener: Listener):
    async with (
        serve_for_test(ListenerService(listener)) as served,
        Oviya(served.address) as oviya,
        oviya.converse(input_rate_hz=RATE_HZ) as conversation,
    ):
        return await play_recording(conversation, SPEECH, RATE_HZ)


async def test_the_recording_arrives_whole_at_the_pace_of_speech_with_silence_after_it():
    listener = Listener(turn_s=None)
    started_at = time.monotonic()
    result = await played(listener)
    elapsed_s = time.monotonic() - started_at
    heard_s = len(listener.heard) / RATE_HZ
    np.testing.assert_allclose(listener.heard[: len(SPEECH)], SPEECH, atol=1e-4)
    assert not listener.heard[len(SPEECH) :].any()
    assert 0.4 <= heard_s <= 0.44
    assert elapsed_s >= heard_s
    assert listener.half_closed
    assert result.turns == {}


async def test_silence_goes_on_until_the_open_turn_ends():
    listener = Listener(turn_s=1.0)
    result = await played(listener)
    assert 1.0 <= len(listener.heard) / RATE_HZ < 1.5
    (turn,) = result.turns.values()
    np.testing.assert_allclose(turn.reply, REPLY, atol=1e-4)
    np.testing.assert_array_equal(result.reply, turn.reply)
    assert turn.closed
    assert turn.reply_duration_s == pytest.approx(0.1)
    # The turn ended when a second had been sent; its speech ended at 0.3 s of that.
    assert turn.first_audio_here_s is not None
    assert 0.7 <= turn.first_audio_here_s < 1.2


async def test_silence_ends_where_the_turn_does_not():
    listener = Listener(turn_s=99.0)
    await played(listener)
    assert len(listener.heard) / RATE_HZ == pytest.approx(0.3 + 2.0, abs=0.05)
    assert listener.half_closed


async def test_what_the_gateway_refuses_is_raised():
    with pytest.raises(Busy, match="no room"):
        await played(Listener(None, refuse=True))


async def test_a_gateway_that_leaves_early_is_reported():
    with pytest.raises(NotReady, match="over"):
        await played(Listener(None, leave=True))


async def test_a_gateway_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(player, "STALL_TIMEOUT_S", 0.2)
    with pytest.raises(Timeout, match=r"0\.2 s"):
        await played(Listener(None, hang=True))
