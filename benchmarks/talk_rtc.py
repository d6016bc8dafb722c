"""A simulated user over WebRTC."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import aiohttp
import numpy as np
from google.protobuf import json_format

from benchmarks.talk_events import PATIENCE_S, EventLog
from benchmarks.talk_loudspeaker import Underrun
from benchmarks.talk_relay import LossyRelay
from benchmarks.talk_rtp import Playout, play_packets
from benchmarks.talk_sounds import NOISE, RATE_HZ, Sound
from oviya.audio.resample import Resampler
from oviya.tasks import cancel_and_wait
from oviya.v1 import conversation_pb2
from tests.support.webrtc_client import Browser

OPUS_HZ = 48_000
REPLY_SOUNDS = ("reply_sentence", "reply_resumed")
REPLY_STOPS = ("reply_ended", "reply_paused", "interrupted", "turn_failed")


class RtcUser(EventLog):
    """Opens a session as a browser does, and talks and listens until the context is left.

    Args:
        http_url: of the gateway.
        relay: through which all packets go; None: directly.
    """

    def __init__(self, http_url: str, relay: LossyRelay | None = None) -> None:
        super().__init__()
        self._http_url, self._relay = http_url, relay
        self._stack = AsyncExitStack()
        self._tasks = list[asyncio.Task[Any]]()
        self._packets = list[tuple[float, float]]()
        self._first_timestamp: int | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._browser = Browser()
            assert self._browser.microphone
            self._browser.microphone.noise = NOISE
            stack.push_async_callback(self._browser.close)
            offer = await self._browser.offer()
            self._tap()
            if self._relay:
                await stack.enter_async_context(self._relay)
                offer = self._relay.through_offer(offer)
            request = {"sdp": offer, "type": "offer"}
            async with aiohttp.ClientSession() as http, http.post(f"{self._http_url}/offer", json=request) as response:
                response.raise_for_status()
                answer = (await response.json())["sdp"]
            await self._browser.connect(self._relay.through_answer(answer) if self._relay else answer)
            self._tasks.append(asyncio.create_task(self._listen()))
            if await self.wait_for(lambda arrival: arrival.kind == "session_started") is None:
                raise TimeoutError(f"no session after {PATIENCE_S:g} s")
            if self._relay:
                self._relay.faulty = True
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await cancel_and_wait(*self._tasks)
        await self._stack.aclose()

    async def type(self, text: str) -> None:
        """Sends a typed turn."""
        self._browser.send({"text": text})

    def say(self, sound: Sound) -> tuple[float, float]:
        """Makes a sound from now on; returns when its first and its last audible sample are recorded."""
        resampler = Resampler(RATE_HZ, OPUS_HZ)
        self._browser.speak(np.concatenate((resampler.push(sound.samples), resampler.flush())))
        return self.now_s + sound.onset_s, self.now_s + sound.end_s

    def played(self) -> tuple[Playout, list[Underrun]]:
        """Returns how the received sound was played, and the underruns that begin and end within a reply.

        The gateway sends next to nothing between replies.
        """
        playout = play_packets(self._packets)
        speaking, since_s = list[tuple[float, float]](), None
        for arrival in self.arrivals:
            if arrival.kind in REPLY_SOUNDS and since_s is None:
                since_s = arrival.at_s
            elif arrival.kind in REPLY_STOPS and since_s is not None:
                speaking.append((since_s, arrival.at_s))
                since_s = None
        return playout, [
            one
            for one in playout.underruns
            if any(start <= one.at_s and one.at_s + one.length_s < end for start, end in speaking)
        ]

    def _tap(self) -> None:
        """Notes each RTP packet before aiortc's own jitter buffer, which waits for lost packets."""
        (receiver,) = [transceiver.receiver for transceiver in self._browser.connection.getTransceivers()]
        handle: Any = receiver._handle_rtp_packet

        async def note_and_handle(packet: Any, arrival_time_ms: int) -> None:
            if self._first_timestamp is None:
                self._first_timestamp = packet.timestamp
            behind = (packet.timestamp - self._first_timestamp + (1 << 31)) % (1 << 32) - (1 << 31)
            self._packets.append((behind / OPUS_HZ, self.now_s))
            await handle(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtp_packet = note_and_handle

    async def _listen(self) -> None:
        while True:
            message = json.dumps(await self._browser.events.get())
            self.add(json_format.Parse(message, conversation_pb2.ConverseResponse(), ignore_unknown_fields=True))
            self._browser.heard.clear()
