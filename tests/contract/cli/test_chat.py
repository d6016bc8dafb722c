"""The session of `oviya chat` with a sound device in memory, against a gateway that the test plays by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from oviya.audio.pcm import S16LE, decode_pcm, encode_pcm
from oviya.cli.chatting import session as session_module
from oviya.cli.chatting.display import Display
from oviya.cli.chatting.line_editor import EndOfInput, Line, TalkKey
from oviya.cli.chatting.session import ChatSession, Options
from oviya.cli.output import Output
from oviya.client import Oviya
from oviya.durations import seconds
from oviya.errors import Busy, Unsupported
from oviya.mesh.service import Service
from oviya.mesh.settings import ServiceSettings
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2, conversation_pb2, conversation_pb2_grpc, emotion_pb2, stt_pb2
from tests.support.memory_device import MemoryDevice
from tests.support.serving import serve_for_test
from tests.support.waiting import until

RATE_HZ = 8_000
SECOND = encode_pcm(np.full(RATE_HZ, 0.5, np.float32), S16LE)
HOSTILE = "So \x1b]0;owned\x07 it goes."


class ByHand(conversation_pb2_grpc.ConversationServiceServicer):
    """Keeps every request, and sends what the test puts into `responses`; None ends the conversation."""

    def __init__(self):
        self.requests: list[conversation_pb2.ConverseRequest] = []
        self.responses: asyncio.Queue[Any] = asyncio.Queue()

    def kinds(self) -> list[str | None]:
        """The kinds of the requests, without sound and reports of playback."""
        kinds = [request.WhichOneof("request") for request in self.requests]
        return [kind for kind in kinds if kind not in ("config", "audio", "played")]

    def of(self, kind: str) -> list[Any]:
        return [getattr(each, kind) for each in self.requests if each.WhichOneof("request") == kind]

    def send(self, turn: int = 1, **event: Any) -> None:
        self.responses.put_nowait(conversation_pb2.ConverseResponse(turn=turn, **event))

    async def Converse(self, request_iterator, context):
        async def receive():
            async for request in request_iterator:
                self.requests.append(request)
            self.responses.put_nowait(None)

        receiving = asyncio.create_task(receive())
        try:
            while (response := await self.responses.get()) is not None:
                if isinstance(response, Exception):
                    raise response
                yield response
        finally:
            await cancel_and_wait(receiving)

    async def Speak(self, request, context):
        yield conversation_pb2.SpeakResponse()

    async def ExportSession(self, request, context):
        raise Unsupported("this gateway keeps no sessions")

    async def DeleteSession(self, request, context):
        raise Unsupported("this gateway keeps no sessions")


class Gateway(Service[ServiceSettings]):
    name = "gateway"
    grpc_services = ("oviya.v1.ConversationService",)

    def __init__(self):
        super().__init__(ServiceSettings())
        self.servicer = ByHand()

    def register(self, server):
        conversation_pb2_grpc.add_ConversationServiceServicer_to_server(self.servicer, server)

    async def start(self):
        pass


@dataclass
class Chat:
    """A running chat, and both its ends."""

    session: ChatSession
    gateway: ByHand
    device: MemoryDevice
    running: asyncio.Task[None]


@asynccontextmanager
async def chatting(*, push_to_talk: bool = False, listening: bool = True, terminal: bool = True) -> AsyncIterator[Chat]:
    async with (
        serve_for_test(Gateway()) as served,
        Oviya(served.address) as oviya,
        oviya.converse(input_rate_hz=RATE_HZ, output_rate_hz=RATE_HZ) as conversation,
    ):
        device, display = MemoryDevice(RATE_HZ), Display(Output(as_json=False), live=False, explain=False)
        options = Options(listening=listening, push_to_talk=push_to_talk, terminal=terminal)
        session = ChatSession(conversation, device, display, options)
        gateway = served.service.servicer
        running = asyncio.create_task(session.run())
        try:
            gateway.send(session_started=conversation_pb2.SessionStarted(session_id="s"))
            async with asyncio.timeout(60):
                await until(lambda: device.is_open and session.record.session_id)
                yield Chat(session, gateway, device, running)
        finally:
            await cancel_and_wait(running)


def start_reply(gateway: ByHand, text: str = "So it goes.", turn: int = 1) -> None:
    """Announces a sentence and sends a second of it."""
    plan = emotion_pb2.ProsodyPlan(emotion="calm")
    gateway.send(turn, reply_sentence=conversation_pb2.ReplySentence(text=text, plan=plan))
    audio_format = common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=RATE_HZ)
    gateway.send(turn, position=Duration(), audio=common_pb2.Audio(format=audio_format, pcm=SECOND))


async def buffered(chat: Chat) -> None:
    await until(lambda: chat.session.loudspeaker.buffered_s > 0)


async def test_the_microphone_is_sent_and_the_reply_is_played_and_reported():
    async with chatting() as chat:
        said = np.linspace(-0.5, 0.5, 160).astype(np.float32)
        chat.device.speak(said)
        await until(lambda: chat.gateway.of("audio"))
        np.testing.assert_allclose(decode_pcm(chat.gateway.of("audio")[0], S16LE), said, atol=1e-4)
        start_reply(chat.gateway)
        await buffered(chat)
        assert chat.device.play(0.5).max() == pytest.approx(0.5, abs=1e-3)
        await until(lambda: chat.gateway.of("played"))
        report = chat.gateway.of("played")[-1]
        assert (report.turn, seconds(report.position)) == (1, pytest.approx(0.5, abs=1e-5))


async def test_typing_stops_a_reply_that_is_spoken_before_it_is_sent(capsys):
    async with chatting() as chat:
        start_reply(chat.gateway)
        await buffered(chat)
        chat.device.play(0.1)
        chat.session.take(Line("Enough."))
        await until(lambda: chat.gateway.of("text"))
        assert chat.gateway.kinds() == ["interrupt", "text"]
        assert not chat.device.play(0.5)[RATE_HZ // 10 :].any()  # although the gateway has not answered
        spoken = conversation_pb2.WordsSpoken(index=0, chars=5)
        chat.gateway.send(words_spoken=spoken)
        chat.gateway.send(interrupted=conversation_pb2.Interrupted(heard_text="So it"))
        await until(lambda: chat.session.record.turns[1].interrupted)
        chat.session.take(Line("Go on."))  # nothing is spoken now
        await until(lambda: len(chat.gateway.of("text")) == 2)
        assert chat.gateway.kinds() == ["interrupt", "text", "text"]
    shown = capsys.readouterr().out
    assert shown.index("Enough.") < shown.index("So it goes.") < shown.index("\N{EM DASH} interrupted")


async def test_lines_of_a_pipe_wait_for_their_turn_and_its_end_ends_the_chat():
    async with chatting(listening=False, terminal=False) as chat:
        start_reply(chat.gateway)
        await buffered(chat)
        chat.session.take(Line("And then?"))
        chat.session.take(EndOfInput())
        await until(lambda: chat.gateway.of("text"))
        assert chat.gateway.kinds() == ["text"]
        chat.device.speak(np.ones(160, np.float32))
        start_reply(chat.gateway, turn=2)
        chat.gateway.send(turn=2, reply_ended=conversation_pb2.ReplyEnded())
        await until(lambda: chat.session.all_over)
        assert not chat.running.done()  # the sound has not been played
        chat.device.play(2.5)
        await chat.running  # the chat hangs up
        assert not chat.gateway.of("audio")


async def test_push_to_talk_sends_what_is_said_between_two_keys():
    async with chatting(push_to_talk=True) as chat:
        blocks = [np.full(160, level, np.float32) for level in (0.1, 0.2, 0.3)]
        chat.device.speak(blocks[0])
        start_reply(chat.gateway)
        await buffered(chat)
        chat.session.take(TalkKey())
        await until(lambda: chat.gateway.of("interrupt"))
        chat.device.speak(blocks[1])
        await until(lambda: chat.gateway.of("audio"))
        chat.session.take(TalkKey())
        await until(lambda: chat.gateway.of("end_turn"))
        chat.device.speak(blocks[2])
        chat.session.take(Line("Done."))
        await until(lambda: chat.gateway.of("text"))
        (audio,) = chat.gateway.of("audio")
        np.testing.assert_allclose(decode_pcm(audio, S16LE), 0.2, atol=1e-4)


async def test_the_end_of_a_recording_ends_the_chat_when_its_turns_are_over(monkeypatch):
    monkeypatch.setattr(session_module, "CLOSING_SILENCE_S", 0.05)
    async with chatting() as chat:
        chat.gateway.send(speech_started=stt_pb2.SpeechStarted())
        await until(lambda: not chat.session.all_over)
        chat.device.ended = True
        chat.gateway.send(turn=1, final=stt_pb2.Transcript(text="Hello."))
        start_reply(chat.gateway)
        await buffered(chat)
        chat.device.play(1.5)
        chat.gateway.send(reply_ended=conversation_pb2.ReplyEnded())
        await chat.running
    (turn,) = chat.session.record.turns.values()
    assert turn.transcript is not None
    assert turn.transcript.text == "Hello."
    assert not len(turn.reply)  # the sound of a long chat is not kept


async def test_a_recording_ends_the_chat_although_a_turn_never_does(monkeypatch):
    monkeypatch.setattr(session_module, "LONGEST_SILENCE_S", 0.2)
    async with chatting() as chat:
        chat.gateway.send(speech_started=stt_pb2.SpeechStarted())
        await until(lambda: not chat.session.all_over)
        chat.device.ended = True
        await chat.running


async def test_a_gateway_that_fails_ends_the_chat_with_its_error():
    async with chatting() as chat:
        chat.gateway.responses.put_nowait(Busy("every place is taken", retry_after_s=1))
        with pytest.raises(Busy, match="every place is taken"):
            await chat.running
        assert not chat.device.is_open


async def test_what_others_write_cannot_steer_the_terminal(capsys):
    async with chatting() as chat:
        start_reply(chat.gateway, HOSTILE)
        chat.gateway.send(turn_dropped=conversation_pb2.TurnDropped(text="\x1b[2J"))
        chat.gateway.send(reply_ended=conversation_pb2.ReplyEnded())
        await until(lambda: chat.session.all_over and chat.session.record.turns.get(1))
        await until(lambda: chat.session.record.turns[1].reply_duration_s is not None)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b]0;owned" in shown
