"""One browser: a WebRTC connection that carries a conversation.

A peer is a client of the same conversation as gRPC's Converse.  The microphone becomes audio requests, and the reply's
audio goes to the playout, which reports what it has played.  All other events go to the page's data channel as JSON;
those that describe the reply are sent when the playout reaches them, and those after a cut when it has faded out.

The conversation decides when a session ends.  The peer closes the stream of events when its browser has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import structlog
from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from prometheus_client import Counter

from oviya.audio.pcm import F32LE, decode_pcm
from oviya.durations import duration, seconds
from oviya.errors import InvalidInput, NotReady, OviyaError, Timeout
from oviya.mesh.metrics import LOOP_FAILURES
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2, conversation_pb2
from services.gateway.ice_policy import IcePolicy
from services.gateway.settings import GatewaySettings
from services.gateway.transport.admission import Place
from services.gateway.transport.webrtc import microphone
from services.gateway.transport.webrtc.event_channel import EventChannel
from services.gateway.transport.webrtc.ice import apply_policy
from services.gateway.transport.webrtc.microphone import Microphone
from services.gateway.transport.webrtc.opus_receiver import receive_at_once
from services.gateway.transport.webrtc.peer_guard import PeerGuard
from services.gateway.transport.webrtc.playout import Playout
from services.gateway.transport.webrtc.playout_queue import RATE_HZ
from services.gateway.transport.webrtc.request_queue import RequestQueue

log = structlog.get_logger()

MAX_REQUESTS = 500
"""Requests that may wait for the conversation: 10 s of sound."""
MAX_LEAD_S = 5.0
"""Limit in seconds on the configured lead, below the playout's capacity: events must not wait behind sound."""
TAIL_S = 0.3
"""Time between the last packet and the end of the connection, in which the browser plays what it has buffered."""

DROPPED = Counter("oviya_gateway_microphone_dropped_seconds_total", "Users' sound dropped as not read in time")

End = Literal[
    "finished", "disconnected", "vanished", "replaced", "timed out", "not connected", "failed", "beyond bounds"
]


class Conversation(Protocol):
    """What a peer talks to."""

    def converse(
        self, requests: AsyncIterator[conversation_pb2.ConverseRequest]
    ) -> AsyncGenerator[conversation_pb2.ConverseResponse]:
        """Holds one session: requests in, events out."""
        ...


@dataclass(eq=False)
class Peer:
    """A connection from its offer to its end.

    Args:
        connection: a new aiortc connection; the peer closes it.
        session_id: name of the session; empty: the conversation creates one.
        resume_token: token of an earlier session that continues; empty: none.
        place: its place in `Admission`, updated when the browser sends its first packet and when it is connected.
        on_started: called with this peer when its session is open.

    Attributes:
        session: name and token of the open session; the token is empty where sessions are not kept.
    """

    conversation: Conversation
    connection: RTCPeerConnection
    settings: GatewaySettings
    session_id: str
    resume_token: str
    place: Place
    on_started: Callable[[Peer], object]
    session: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        self._requests = RequestQueue(MAX_REQUESTS)
        self._playout = Playout(self._requests.report_played)
        self._track: MediaStreamTrack | None = None
        self._reply = 0  # the turn whose reply is played
        self._bridging = False  # a filler is played: the wait after it is no gap
        self._interrupted: set[int] = set()
        self._guard = PeerGuard(self._on_alive, self._on_breach)
        self._alive = asyncio.Event()
        self._connected = asyncio.Event()
        self._gone = asyncio.Event()
        self._events = EventChannel(
            self._requests, self.settings.max_text_chars, on_gone=self._gone.set, on_breach=self._guard.breach
        )
        self._microphone_failed = self._replaced = False
        self.connection.on("track", self._on_track)
        self.connection.on("datachannel", self._events.attach)
        self.connection.on("connectionstatechange", self._on_state)

    async def negotiate(self, offer: RTCSessionDescription, policy: IcePolicy) -> str:
        """Takes an offer that `read_offer` has checked; returns the SDP answer with all candidates.

        Raises:
            InvalidInput: aiortc cannot use the offer.
            Busy: no UDP port is free.
        """
        transceiver = self.connection.addTransceiver(self._playout, direction="sendrecv")
        opus = [codec for codec in RTCRtpSender.getCapabilities("audio").codecs if codec.mimeType == "audio/opus"]
        transceiver.setCodecPreferences(opus)
        try:
            await self.connection.setRemoteDescription(offer)
        except Exception as error:  # aiortc raises many types; the cause is always the offer
            raise InvalidInput("sdp", offer.sdp, f"must be usable: {error}") from error
        apply_policy(policy, self.connection)
        self._guard.watch(self.connection)
        receive_at_once(transceiver.receiver)
        await self.connection.setLocalDescription()
        return self.connection.localDescription.sdp

    async def run(self) -> End:
        """Holds the conversation until it ends or the browser leaves; returns why it ended.  `close` must follow."""
        if not await self._wait_connected():
            return "not connected"
        talking = asyncio.create_task(self._talk())
        listening = asyncio.create_task(self._listen())
        gone = asyncio.create_task(self._gone.wait())
        silent = asyncio.create_task(self._guard.wait_until_silent(self.settings.webrtc_silence_s))
        try:
            await asyncio.wait({talking, gone, silent}, return_when=asyncio.FIRST_COMPLETED)
            if self._guard.breached:
                return "beyond bounds"
            if self._replaced:
                return "replaced"
            if talking.done():
                return talking.result()
            return "vanished" if silent.done() else "disconnected"
        finally:
            await cancel_and_wait(talking, listening, gone, silent)

    def replace(self) -> None:
        """Ends this peer because its session goes on in another one."""
        self._replaced = True
        error = OviyaError("the session goes on in another window", hint="this window can start a new session")
        self._events.send_failure(error)
        self._gone.set()

    async def close(self) -> None:
        """Closes the connection completely, even when cancelled: aiortc never finishes a close that was cancelled."""
        self._playout.stop()
        closing = asyncio.ensure_future(self.connection.close())
        while not closing.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(closing)
        closing.result()

    async def _wait_connected(self) -> bool:
        asked_at = asyncio.get_running_loop().time()
        first_s = min(self.settings.webrtc_first_packet_s, self.settings.webrtc_connect_s)
        await self._wait_for(self._alive, until=asked_at + first_s)
        if self._alive.is_set():
            await self._wait_for(self._connected, until=asked_at + self.settings.webrtc_connect_s)
        return self._connected.is_set() and not self._gone.is_set()

    async def _wait_for(self, event: asyncio.Event, *, until: float) -> None:
        """Waits for `event`, for an established or a failed connection, or until a time."""
        waits = [asyncio.create_task(one.wait()) for one in (event, self._connected, self._gone)]
        try:
            left_s = max(0.0, until - asyncio.get_running_loop().time())
            await asyncio.wait(waits, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(*waits)

    # --- The session --------------------------------------------------------------------------------------------------

    async def _talk(self) -> End:
        """Passes the conversation's events on, and waits until the reply has been played."""
        end: End = "finished"
        try:
            async with aclosing(self.conversation.converse(self._sent_requests())) as responses:
                async for response in responses:
                    await self._pass_on(response)
        except NotReady:  # the gateway is stopping; the page shows that when the connection closes
            pass
        except OviyaError as error:
            log.info("conversation failed", error=type(error).__name__)
            self._playout.mark(partial(self._events.send_failure, error))
            end = "timed out" if isinstance(error, Timeout) else "failed"
        except Exception:
            log.exception("conversation failed unexpectedly")
            error = OviyaError("internal error", hint="start a new session")
            self._playout.mark(partial(self._events.send_failure, error))
            end = "failed"
        self._playout.end_reply()
        await self._playout.drained()
        await asyncio.sleep(TAIL_S)
        return "failed" if self._microphone_failed else end

    async def _sent_requests(self) -> AsyncGenerator[conversation_pb2.ConverseRequest]:
        config = conversation_pb2.ConverseConfig(
            input=microphone.FORMAT,
            output=common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=RATE_HZ),
            session_id=self.session_id,
            resume_token=self.resume_token,
            lead=duration(min(self.settings.lead_s or MAX_LEAD_S, MAX_LEAD_S)),
            echo_cancellation=conversation_pb2.ECHO_CANCELLATION_CALLER,
        )
        yield conversation_pb2.ConverseRequest(config=config)
        async for request in self._requests:
            yield request

    async def _listen(self) -> None:
        """Passes the microphone on.  The end of its track is no failure: the user can still type."""
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
            self._microphone_failed = True
            self._events.send_failure(OviyaError("the microphone could not be read", hint="start a new session"))
            self._requests.close()

    async def _pass_on(self, response: conversation_pb2.ConverseResponse) -> None:
        self._events.turn = response.turn
        send = partial(self._events.send, response)
        match response.WhichOneof("event"):
            case "session_started":
                self.session = response.session_started.session_id, response.session_started.resume_token
                send()
                self.on_started(self)
            case "audio" | "reply_sentence" if response.turn in self._interrupted:
                pass
            case "audio":
                self._reply = response.turn
                await self._playout.put(
                    decode_pcm(response.audio.pcm, F32LE), response.turn, seconds(response.position)
                )
                if self._bridging:
                    self._playout.end_reply()
            case "reply_sentence":
                self._reply = response.turn
                self._bridging = response.reply_sentence.filler
                self._playout.mark(send)
            case "reply_ended" | "turn_failed" if response.turn == self._reply:
                self._playout.mark(send)
                self._playout.end_reply()
            case "reply_paused" | "interrupted" as event:
                if event == "interrupted":
                    self._interrupted.add(response.turn)
                self._playout.fade_out()
                self._playout.after_fade(send)
            case _:
                self._playout.after_fade(send)

    # --- Events of the connection -------------------------------------------------------------------------------------

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._track = track

    def _on_state(self) -> None:
        state = self.connection.connectionState
        if state == "connected":
            self.place.connected = True
            self._connected.set()
        elif state in ("failed", "closed"):
            self._gone.set()

    def _on_alive(self) -> None:
        self.place.heard = True
        self._alive.set()

    def _on_breach(self, bound: str) -> None:
        hint = f"its {bound} exceeded the limit; the page stays far below it"
        self._events.send_failure(OviyaError("the session is ended", hint=hint))
        self._gone.set()
