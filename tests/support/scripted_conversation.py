"""The page behind a real gateway's HTTP server and peers, with a conversation whose events the test sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from aiohttp.typedefs import Middleware

from oviya.audio.pcm import F32LE, decode_pcm, encode_pcm
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2, conversation_pb2
from services.gateway.settings import GatewaySettings
from services.gateway.transport.http.app import GatewayApp, HttpServer
from services.gateway.transport.webrtc import microphone
from services.gateway.transport.webrtc.peers import Peers
from services.gateway.transport.webrtc.playout import RATE_HZ
from tests.support.waiting import PATIENCE_S

SENTENCE_S = 0.2
"""Sound of each sentence, in seconds."""
LOUD = 0.02
"""Amplitude above which a piece of the microphone's sound counts as loud; full scale is 1."""
READY = {"ready": True, "services": {}, "voice": {"name": "csm", "reason": ""}, "degraded": []}


class ScriptedConversation:
    """Sends the page what the test says, and keeps what the page asks for."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[conversation_pb2.ConverseResponse] = asyncio.Queue()
        self._requests: asyncio.Queue[conversation_pb2.ConverseRequest] = asyncio.Queue()
        self._loud_s = 0.0
        self.heard_speech = asyncio.Event()
        """Set when the page has sent a second of loud sound."""

    def drain(self) -> None:
        """Nothing runs that would have to end."""

    async def converse(
        self, requests: AsyncIterator[conversation_pb2.ConverseRequest]
    ) -> AsyncGenerator[conversation_pb2.ConverseResponse]:
        config = (await anext(requests)).config
        started = conversation_pb2.SessionStarted(session_id="scripted", output=config.output)
        yield conversation_pb2.ConverseResponse(session_started=started)
        reading = asyncio.create_task(self._read(requests))
        try:
            while True:
                yield await self._events.get()
        finally:
            await cancel_and_wait(reading)

    async def _read(self, requests: AsyncIterator[conversation_pb2.ConverseRequest]) -> None:
        async for request in requests:
            match request.WhichOneof("request"):
                case "audio":
                    self._listen(request.audio)
                case "played":
                    pass  # the peer reports it
                case _:
                    self._requests.put_nowait(request)

    def _listen(self, pcm: bytes) -> None:
        if np.abs(decode_pcm(pcm, microphone.FORMAT.encoding)).max(initial=0) > LOUD:
            self._loud_s += len(pcm) / 2 / microphone.RATE_HZ
            if self._loud_s > 1:
                self.heard_speech.set()

    def send(self, turn: int, **event: Any) -> None:
        """Sends an event of a turn, e.g. `reply_sentence={"text": "Hello."}`."""
        self._events.put_nowait(conversation_pb2.ConverseResponse(turn=turn, **event))

    def say(self, turn: int, text: str, **sentence: Any) -> None:
        """Sends a sentence of a reply, and sound for it: the page gets a sentence when its sound is played."""
        self.send(turn, reply_sentence={"text": text, **sentence})
        pcm = encode_pcm(np.zeros(round(SENTENCE_S * RATE_HZ), np.float32), F32LE)
        self.send(turn, audio={"format": common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=RATE_HZ), "pcm": pcm})

    async def request(self) -> conversation_pb2.ConverseRequest:
        """Waits for the page's next request other than sound."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._requests.get()

    @property
    def no_request(self) -> bool:
        """Whether every request has been taken."""
        return self._requests.empty()


class _AlwaysReady:
    def report(self) -> dict[str, Any]:
        return READY


@asynccontextmanager
async def serve_page(conversation: ScriptedConversation, *middlewares: Middleware) -> AsyncIterator[str]:
    """Serves the page with this conversation behind it; yields its address.

    Args:
        middlewares: answer requests in place of the gateway.
    """
    settings = GatewaySettings(http_port=0, ice_bind_addresses=["127.0.0.1"])
    peers = Peers(conversation, settings)
    app = GatewayApp(peers, _AlwaysReady(), settings).app()
    app.middlewares.extend(middlewares)
    server = HttpServer(app, settings)
    await server.start()
    try:
        yield f"http://localhost:{server.port}"
    finally:
        await asyncio.gather(peers.close(), server.close())
