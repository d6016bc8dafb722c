"""One browser: a WebRTC connection that holds a conversation.

The peer is a client of the same conversation as gRPC's Converse.  The microphone goes in as audio requests; the
reply's audio goes to the playout; all other events leave as JSON over the data channel "events" that the page makes,
those that describe the reply when their place in it is played.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import structlog
from aiortc import (
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamTrack
from google.protobuf import json_format
from prometheus_client import Counter

from oviya.audio.pcm import F32LE, decode_pcm
from oviya.errors import Busy, InvalidInput, OviyaError, Timeout
from oviya.mesh.metrics import LOOP_FAILURES
from oviya.status import detail_of
from oviya.v1 import common_pb2, conversation_pb2
from services.gateway.rate import TokenBucket
from services.gateway.transport.admission import Place
from services.gateway.transport.webrtc import microphone, playout
from services.gateway.transport.webrtc.ice import IcePolicy
from services.gateway.transport.webrtc.microphone import Microphone
from services.gateway.transport.webrtc.page_message import read_message
from services.gateway.transport.webrtc.peer_guard import PeerGuard
from services.gateway.transport.webrtc.playout import Playout

log = structlog.get_logger()

CHANNEL = "events"
"""Label of the data channel that the page creates."""
MAX_UNSENT_BYTES = 1 << 20
"""Events that may wait in the data channel; a page that reads none of them is gone."""
MAX_EARLY_EVENTS = 64
"""Events kept until the page's channel opens."""
MAX_REQUESTS = 500
"""Requests that may wait for the conversation: 10 s of sound."""
MESSAGE_RATE, MESSAGE_BURST = 10.0, 50.0
"""Messages of the page that are read in a second, and at once: more than anybody types."""
MAX_REFUSED_MESSAGES = 100
"""Messages refused as too many before the peer is ended."""
MAX_OTHER_CHANNELS = 16
"""Data channels of other names, or second ones, that are closed again before the peer is ended."""
TAIL_S = 0.3
"""Time between the last packet and the end of the connection, so that the browser plays out what it has."""

DROPPED = Counter("oviya_gateway_microphone_dropped_seconds_total", "Users' sound dropped since nobody took it in time")

End = Literal["finished", "disconnected", "idle", "too long", "not connected", "failed", "beyond bounds"]


class Conversation(Protocol):
    """What a peer talks to."""

    def converse(
        self, requests: AsyncIterator[conversation_pb2.ConverseRequest]
    ) -> AsyncGenerator[conversation_pb2.ConverseResponse]:
        """Holds one conversation: requests in, events out."""
        ...


@dataclass(frozen=True)
class PeerLimits:
    """What one peer may cost, times in seconds.

    Args:
        first_packet_s: from the answer to the first STUN check of the browser.
        connect_s: from the answer to an established connection.
        idle_s: without anything said on either side.
        max_s: length of a session.
        finish_s: how long the running turn may take once the session is to end.
        max_text_chars: longest typed turn.
    """

    first_packet_s: float = 5.0
    connect_s: float = 20.0
    idle_s: float = 300.0
    max_s: float = 3600.0
    finish_s: float = 30.0
    max_text_chars: int = 8192


class Peer:
    """A connection from its offer to its end.

    Args:
        conversation: what it talks to.
        connection: a fresh aiortc connection; the peer closes it.
        limits: what it may cost.
        session_id: name of the session; empty: the conversation makes one.
        resume_token: that session's token, where it is an earlier one.
        place: learns when the browser was first heard, and when it is connected.
    """

    def __init__(
        self,
        conversation: Conversation,
        connection: RTCPeerConnection,
        limits: PeerLimits,
        session_id: str,
        resume_token: str,
        place: Place,
    ) -> None:
        self._conversation = conversation
        self._session_id = session_id
        self._resume_token = resume_token
        self._connection = connection
        self._limits = limits
        self._playout = Playout()
        self._track: MediaStreamTrack | None = None
        self._channel: RTCDataChannel | None = None
        self._early: list[str] = []
        self._requests: asyncio.Queue[conversation_pb2.ConverseRequest | None] = asyncio.Queue(MAX_REQUESTS)
        self._place = place
        self._guard = PeerGuard(self._on_heard, self._on_breach)
        self._messages = TokenBucket(MESSAGE_RATE, MESSAGE_BURST)
        self._refused_messages = self._other_channels = 0
        self._finishing = asyncio.Event()
        self._heard = asyncio.Event()
        self._connected = asyncio.Event()
        self._lost = asyncio.Event()
        self._deaf = asyncio.Event()
        self._active_at = 0.0
        self._turn = 0
        connection.on("track", self._on_track)
        connection.on("datachannel", self._on_channel)
        connection.on("connectionstatechange", self._on_state)

    async def negotiate(self, offer: RTCSessionDescription, policy: IcePolicy) -> str:
        """Takes an offer that `read_offer` has checked; returns the SDP answer with all candidates.

        Raises:
            InvalidInput: aiortc cannot use the offer.
            Busy: no UDP port is free.
        """
        transceiver = self._connection.addTransceiver(self._playout, direction="sendrecv")
        opus = [codec for codec in RTCRtpSender.getCapabilities("audio").codecs if codec.mimeType == "audio/opus"]
        transceiver.setCodecPreferences(opus)
        try:
            await self._connection.setRemoteDescription(offer)
        except Exception as error:  # whatever it stumbles over is in the offer
            raise InvalidInput("sdp", offer.sdp, f"must be usable: {error}") from error
        policy.apply(self._connection)
        self._guard.watch(self._connection)
        await self._connection.setLocalDescription()
        return self._connection.localDescription.sdp

    async def run(self) -> End:
        """Holds the conversation until one side ends it; says why it ended.  `close` must follow."""
        if not await self._wait_connected():
            return "not connected"
        self._active_at = asyncio.get_running_loop().time()
        end = await self._converse_until_end()
        if self._guard.breached:
            return "beyond bounds"
        return "failed" if self._deaf.is_set() else end

    def finish(self) -> None:
        """Ends the session after the running turn."""
        self._finishing.set()

    async def close(self) -> None:
        """Closes the connection, to the end: aiortc never finishes a close that was cancelled."""
        self._playout.stop()
        closing = asyncio.ensure_future(self._connection.close())
        while not closing.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(closing)
        closing.result()

    # --- The life of the session --------------------------------------------------------------------------------------

    async def _wait_connected(self) -> bool:
        asked_at = asyncio.get_running_loop().time()
        first_s = min(self._limits.first_packet_s, self._limits.connect_s)
        await self._wait_for_any(self._heard, until=asked_at + first_s)
        if self._heard.is_set() and not self._connected.is_set():
            await self._wait_for_any(self._connected, until=asked_at + self._limits.connect_s)
        return self._connected.is_set() and not self._lost.is_set()

    async def _wait_for_any(self, event: asyncio.Event, *, until: float) -> None:
        """Waits for `event`, for the end of the connection, for the end of the gateway, or until a time."""
        waits = [asyncio.ensure_future(one.wait()) for one in (event, self._connected, self._lost, self._finishing)]
        try:
            left_s = max(0.0, until - asyncio.get_running_loop().time())
            await asyncio.wait(waits, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _converse_until_end(self) -> End:
        talking = asyncio.create_task(self._talk())
        watching = asyncio.create_task(self._watch())
        listening = asyncio.create_task(self._listen())
        try:
            done, _ = await asyncio.wait({talking, watching}, return_when=asyncio.FIRST_COMPLETED)
            return talking.result() if talking in done else watching.result()
        finally:
            for task in (talking, watching, listening):
                task.cancel()
            await asyncio.wait({talking, watching, listening})

    async def _watch(self) -> End:
        """Waits for what ends the session from outside; lets the running turn finish where that is possible."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        lost = asyncio.ensure_future(self._lost.wait())
        finishing = asyncio.ensure_future(self._finishing.wait())
        deaf = asyncio.ensure_future(self._deaf.wait())
        try:
            end: End = "finished"
            while not (lost.done() or finishing.done()):
                if deaf.done():
                    end = "failed"
                    break
                now = loop.time()
                idle_at, longest_at = self._active_at + self._limits.idle_s, started_at + self._limits.max_s
                if now >= min(idle_at, longest_at):
                    end = "idle" if idle_at <= longest_at else "too long"
                    break
                wait_s = min(idle_at, longest_at) - now
                await asyncio.wait({lost, finishing, deaf}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            if not lost.done():
                self._tell_end(end)
                self._end_requests()
                await asyncio.wait({lost}, timeout=self._limits.finish_s)
            return "disconnected" if lost.done() else end
        finally:
            lost.cancel()
            finishing.cancel()
            deaf.cancel()

    async def _talk(self) -> End:
        end: End = "finished"
        try:
            async with aclosing(self._conversation.converse(self._sent_requests())) as responses:
                async for response in responses:
                    await self._take(response)
        except OviyaError as error:
            log.info("conversation failed", error=type(error).__name__)
            self._playout.mark(partial(self._tell_failure, error))
            end = "failed"
        except Exception:
            log.exception("conversation broke")
            self._playout.mark(partial(self._tell_failure, OviyaError("internal error", hint="start a new session")))
            end = "failed"
        self._playout.end_reply()
        await self._playout.drained()
        await asyncio.sleep(TAIL_S)
        return end

    # --- What goes in -------------------------------------------------------------------------------------------------

    async def _sent_requests(self) -> AsyncGenerator[conversation_pb2.ConverseRequest]:
        output = common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=playout.RATE_HZ)
        config = conversation_pb2.ConverseConfig(
            input=microphone.FORMAT, output=output, session_id=self._session_id, resume_token=self._resume_token
        )
        yield conversation_pb2.ConverseRequest(config=config)
        while (request := await self._requests.get()) is not None:
            yield request

    async def _listen(self) -> None:
        """Passes the microphone on.  The end of its track is no failure: the user goes on typing."""
        if self._track is None:
            return
        try:
            async with aclosing(Microphone(self._track).pieces()) as pieces:
                async for piece in pieces:
                    try:
                        self._requests.put_nowait(conversation_pb2.ConverseRequest(audio=piece))
                    except asyncio.QueueFull:
                        DROPPED.inc(len(piece) / 2 / microphone.RATE_HZ)
        except Exception:
            log.exception("the microphone could not be read")
            LOOP_FAILURES.labels("microphone").inc()
            self._deaf.set()

    def _end_requests(self) -> None:
        """Half-closes: the conversation finishes the running turn and ends."""
        while self._requests.full():
            self._requests.get_nowait()
        self._requests.put_nowait(None)

    def _on_message(self, message: str | bytes) -> None:
        if not self._messages.take():
            self._refused_messages += 1
            if self._refused_messages > MAX_REFUSED_MESSAGES:
                self._guard.breach("messages")
            else:
                self._tell_failure(Busy(f"more than {MESSAGE_RATE:g} messages a second", retry_after_s=1.0))
            return
        self._active_at = asyncio.get_running_loop().time()
        try:
            self._requests.put_nowait(read_message(message, self._limits.max_text_chars))
        except asyncio.QueueFull:
            self._tell_failure(Busy("too many messages wait to be answered", retry_after_s=1.0))
        except InvalidInput as error:
            self._tell_failure(error)

    # --- What comes out -----------------------------------------------------------------------------------------------

    async def _take(self, response: conversation_pb2.ConverseResponse) -> None:
        self._active_at = asyncio.get_running_loop().time()
        self._turn = response.turn
        match response.WhichOneof("event"):
            case "audio":
                await self._playout.put(decode_pcm(response.audio.pcm, F32LE))
            case "reply_sentence":
                self._playout.mark(partial(self._tell, response))
            case "reply_ended" | "turn_failed":
                self._playout.mark(partial(self._tell, response))
                self._playout.end_reply()
            case _:
                self._tell(response)

    def _tell(self, response: conversation_pb2.ConverseResponse) -> None:
        """Sends an event to the page, or keeps it until the page's channel is open."""
        message = json_format.MessageToJson(response, indent=None)
        if self._channel is None:
            if len(self._early) < MAX_EARLY_EVENTS:
                self._early.append(message)
        elif self._channel.readyState == "open":
            self._channel.send(message)
            if self._channel.bufferedAmount > MAX_UNSENT_BYTES:
                self._lost.set()

    def _tell_failure(self, error: OviyaError) -> None:
        self._tell(conversation_pb2.ConverseResponse(turn=self._turn, turn_failed=detail_of(error)))

    def _tell_end(self, end: End) -> None:
        if end == "idle":
            self._tell_failure(Timeout(f"nothing was said for {self._limits.idle_s:g} s", hint="start a new session"))
        elif end == "too long":
            self._tell_failure(Timeout(f"a session ends after {self._limits.max_s:g} s", hint="start a new session"))
        elif end == "failed":
            self._tell_failure(OviyaError("the microphone could not be read", hint="start a new session"))

    # --- What aiortc says ---------------------------------------------------------------------------------------------

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._track = track

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label != CHANNEL or self._channel is not None:
            self._other_channels += 1
            channel.close()
            if self._other_channels > MAX_OTHER_CHANNELS:
                self._guard.breach("channels")
            return
        self._channel = channel
        channel.on("message", self._on_message)
        for message in self._early:
            channel.send(message)
        self._early.clear()

    def _on_state(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self._place.connected = True
            self._connected.set()
        elif state in ("failed", "closed"):
            self._lost.set()

    def _on_heard(self) -> None:
        self._place.heard = True
        self._heard.set()

    def _on_breach(self, bound: str) -> None:
        limit = f"a browser sends far less of it: its {bound} went beyond the bound"
        self._tell_failure(OviyaError("the session is ended", hint=limit))
        self._lost.set()
