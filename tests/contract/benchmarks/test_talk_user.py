"""The simulated user of the benchmark of conversation, with a gateway that follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from benchmarks.talk_sounds import Sound
from benchmarks.talk_user import OUTPUT_HZ, TalkUser
from oviya.audio.pcm import S16LE, audio_message, decode_pcm
from oviya.durations import duration, seconds
from oviya.mesh.service import Service
from oviya.mesh.settings import ServiceSettings
from oviya.v1 import common_pb2, conversation_pb2, conversation_pb2_grpc, stt_pb2
from tests.support.serving import serve_for_test

FORMAT = common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=OUTPUT_HZ)
PIECE_S = 0.08
WORDS = Sound("flite", "no", np.full(4_800, 0.3, np.float32))


class ScriptedServicer(conversation_pb2_grpc.ConversationServiceServicer):
    """Speaks for `reply_s`; the first loud sound pauses the reply, which is then interrupted or resumed."""

    def __init__(self, script: str, reply_s: float):
        self.script, self.reply_s = script, reply_s
        self.heard: list[np.ndarray] = []

    async def Converse(self, request_iterator, context):
        events: asyncio.Queue = asyncio.Queue()
        script = asyncio.create_task(self._follow(request_iterator, events))
        try:
            while True:
                yield await events.get()
        finally:
            script.cancel()

    async def _follow(self, requests, events):
        response = conversation_pb2.ConverseResponse
        paused = False
        async for request in requests:
            match request.WhichOneof("request"):
                case "config":
                    await events.put(response(session_started=conversation_pb2.SessionStarted(session_id="s")))
                case "text":
                    await self._speak(events, 0.0)
                case "audio":
                    samples = decode_pcm(request.audio, S16LE)
                    self.heard.append(samples)
                    if paused or np.max(np.abs(samples)) < 0.1:
                        continue
                    paused = True
                    await events.put(response(reply_paused=conversation_pb2.ReplyPaused(position=duration(0.5))))
                    await self._decide(events)

    async def _decide(self, events):
        response = conversation_pb2.ConverseResponse
        if self.script == "interrupt":
            reason = conversation_pb2.INTERRUPT_REASON_SPEECH
            await events.put(response(interrupted=conversation_pb2.Interrupted(reason=reason)))
            await events.put(response(turn=1, turn_ended=stt_pb2.TurnEnded()))
            await events.put(response(turn=1, reply_sentence=conversation_pb2.ReplySentence(text="What?")))
        else:
            await events.put(response(reply_resumed=conversation_pb2.ReplyResumed(position=duration(0.3))))
            await self._speak(events, 0.3)
            reason = conversation_pb2.DROP_REASON_BACKCHANNEL
            await events.put(response(turn=1, turn_dropped=conversation_pb2.TurnDropped(reason=reason)))

    async def _speak(self, events, from_s):
        piece = np.full(round(PIECE_S * OUTPUT_HZ), 0.2, np.float32)
        for number in range(round((self.reply_s - from_s) / PIECE_S)):
            audio = audio_message(piece, FORMAT)
            position = duration(from_s + number * PIECE_S)
            await events.put(conversation_pb2.ConverseResponse(audio=audio, position=position))


class ScriptedService(Service[ServiceSettings]):
    name = "gateway"
    grpc_services = ("oviya.v1.ConversationService",)

    def __init__(self, script: str, reply_s: float = 60.0):
        super().__init__(ServiceSettings())
        self.servicer = ScriptedServicer(script, reply_s)  # pyright: ignore[reportAbstractUsage]

    def register(self, server):
        conversation_pb2_grpc.add_ConversationServiceServicer_to_server(self.servicer, server)

    async def start(self):
        pass


@asynccontextmanager
async def talking(script: str, reply_s: float = 60.0) -> AsyncIterator[tuple[ScriptedServicer, TalkUser]]:
    service = ScriptedService(script, reply_s)
    async with (
        serve_for_test(service) as served,
        TalkUser(conversation_pb2_grpc.ConversationServiceStub(served.channel)) as user,
    ):
        yield service.servicer, user


async def test_words_over_a_reply_end_its_sound():
    async with talking("interrupt") as (_, user):
        await user.type("hello")
        assert await user.wait_for(lambda arrival: arrival.kind == "audio")
        onset_s, _ = user.say(WORDS)
        assert await user.wait_for(lambda _: user.outcome(0, onset_s).obeyed)
        outcome, silent_s = user.outcome(0, onset_s), user.loudspeaker.last_audible_s(0)
    assert outcome.interrupted_s is not None
    assert silent_s is not None
    assert onset_s < silent_s < outcome.interrupted_s + 0.1  # a minute of sound had arrived
    assert outcome.late_pieces == 0


async def test_a_resumed_reply_goes_on():
    async with talking("resume") as (_, user):
        await user.type("hello")
        assert await user.wait_for(lambda arrival: arrival.kind == "audio")
        onset_s, _ = user.say(WORDS)
        assert await user.wait_for(lambda arrival: arrival.kind == "turn_dropped")
        outcome = user.outcome(0, onset_s)
        resumed_s = user.loudspeaker.first_audible_s(0, outcome.resumed[0][0])
    assert not outcome.false_stop
    assert outcome.repeats_s == [pytest.approx(0.2)]
    assert resumed_s is not None
    assert resumed_s >= outcome.resumed[0][0]
    assert seconds(user.arrivals[-2].response.position) > 50  # the rest of it came


async def test_the_microphone_never_stops():
    async with talking("interrupt", reply_s=0.0) as (servicer, user):
        user.say(WORDS)
        assert await user.wait_for(lambda arrival: arrival.kind == "interrupted")
        while len(servicer.heard) < 50:
            await asyncio.sleep(0.01)
        heard = np.concatenate(servicer.heard)
    assert np.count_nonzero(np.abs(heard) > 0.1) == len(WORDS.samples)
    assert np.count_nonzero(heard) > len(heard) / 2  # a microphone has noise of its own
