"""A conversation behind real WebRTC peers that echoes what it hears."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np

from oviya.audio.pcm import encode_pcm
from oviya.durations import duration, seconds
from oviya.errors import NotReady, Unavailable
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2, conversation_pb2, stt_pb2
from services.gateway.settings import GatewaySettings
from services.gateway.transport.http.app import GatewayApp, HttpServer
from services.gateway.transport.webrtc.peers import Peers
from tests.support.webrtc_client import tone


class Echo:
    """A conversation that keeps what it heard and answers a text with a tone; some texts make it fail or wait."""

    def __init__(self):
        self.config: Any = None
        self.heard = bytearray()
        self.requests = []
        self.played = []
        self.left = asyncio.Event()
        self.release = asyncio.Event()
        self.heard_changed = asyncio.Event()
        self._draining = asyncio.Event()

    def drain(self):
        """Ends the session after its running turn, as the real conversation does when the gateway stops."""
        self._draining.set()

    async def converse(self, requests):
        try:
            turn = 0
            self.config = (await anext(requests)).config
            yield conversation_pb2.ConverseResponse(
                session_started=conversation_pb2.SessionStarted(session_id="s", output=self.config.output)
            )
            async for request in self._until_drained(requests):
                if request.audio:
                    self.heard += request.audio
                    self.heard_changed.set()
                    continue
                if request.HasField("played"):
                    self.played.append((request.played.turn, seconds(request.played.position)))
                    continue
                self.requests.append(request)
                async for response in self._reply(request, turn):
                    yield response
                turn += 1
        finally:
            self.left.set()

    async def _until_drained(self, requests):
        draining = asyncio.create_task(self._draining.wait())
        reading = None
        try:
            while not draining.done():
                reading = asyncio.create_task(anext(requests, None))
                await asyncio.wait({reading, draining}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    raise NotReady("the gateway is stopping")
                if (request := reading.result()) is None:
                    return
                yield request
            raise NotReady("the gateway is stopping")
        finally:
            await cancel_and_wait(reading, draining)

    async def _reply(self, request, turn):
        def event(**fields):
            return conversation_pb2.ConverseResponse(turn=turn, **fields)

        if request.text == "fail":
            raise Unavailable("brain", "cannot be reached")
        if request.text == "break":
            raise RuntimeError("marker")
        yield event(final=stt_pb2.Transcript(text=request.text))
        if request.text == "wait":
            await self.release.wait()
        if request.text != "nothing":
            for index, hz in enumerate((500, 1500)):
                yield event(reply_sentence=conversation_pb2.ReplySentence(index=index, text=f"{hz} hertz"))
                for at, piece in enumerate(np.array_split(tone(hz, 0.8), 10)):
                    pcm = encode_pcm(piece, self.config.output.encoding)
                    position = duration(0.8 * index + 0.08 * at)
                    yield event(audio=common_pb2.Audio(format=self.config.output, pcm=pcm), position=position)
        yield event(reply_ended=conversation_pb2.ReplyEnded())


class Scripted:
    """A conversation whose events the test puts into `events`; keeps the requests but for sound."""

    def __init__(self):
        self.config: Any = None
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.requests = []
        self.played = []
        self.heard = bytearray()
        self.left = asyncio.Event()

    def send(self, turn=0, **fields):
        self.events.put_nowait(conversation_pb2.ConverseResponse(turn=turn, **fields))

    def speak(self, samples, turn=0, at=0.0):
        """Sends sound in pieces of 80 ms."""
        for start in range(0, len(samples), 3840):
            pcm = encode_pcm(samples[start : start + 3840], self.config.output.encoding)
            audio = common_pb2.Audio(format=self.config.output, pcm=pcm)
            self.send(turn, audio=audio, position=duration(at + start / 48_000))

    async def converse(self, requests):
        self.config = (await anext(requests)).config
        started = conversation_pb2.SessionStarted(session_id="s", output=self.config.output)
        yield conversation_pb2.ConverseResponse(session_started=started)
        reading = asyncio.create_task(self._read(requests))
        try:
            while True:
                yield await self.events.get()
        finally:
            await cancel_and_wait(reading)
            self.left.set()

    async def _read(self, requests):
        async for request in requests:
            if request.audio:
                self.heard += request.audio
            elif request.HasField("played"):
                self.played.append((request.played.turn, seconds(request.played.position)))
            else:
                self.requests.append(request)


@asynccontextmanager
async def open_web(conversation, readiness, settings):
    """Serves the page; yields its peers and a client of its HTTP server."""
    peers = Peers(conversation, settings)
    server = HttpServer(GatewayApp(peers, readiness, settings).app(), settings)
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
            yield peers, session
    finally:
        await asyncio.gather(peers.close(), server.close())


@asynccontextmanager
async def peers_of(conversation, **options):
    peers = Peers(conversation, GatewaySettings(ice_bind_addresses=["127.0.0.1"], **options))
    try:
        yield peers
    finally:
        await peers.close()
