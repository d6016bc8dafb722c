"""Bounds on what one browser can make aiortc store and process.

aiortc stores the fragments of an unfinished data-channel message as long as the peer sends more, and searches all of
them for each new one.  The same applies to gaps in the sequence, to streams and channels, and to RTP sources.  It
decodes sound as fast as it arrives.  None of this is configurable.  `PeerGuard.watch` replaces three methods on the
transports of one peer connection, between setRemoteDescription, which creates the transports, and setLocalDescription,
which starts them; other connections of the process are unaffected.  `check_upstream` raises a clear error when a new
aiortc no longer fits.

A browser that runs the page stays far below every bound; a peer that exceeds one is ended.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import aioice
import structlog
from aiortc import RTCPeerConnection, RTCSctpTransport, rtcrtpreceiver, rtcsctptransport
from aiortc.rtcsctptransport import RTCSctpCapabilities
from prometheus_client import Counter

from oviya.errors import OviyaError
from services.gateway.metrics import EXCESS_SOUND
from services.gateway.rate import TokenBucket
from services.gateway.transport.webrtc.ice import ice_agents
from services.gateway.transport.webrtc.page_message import MAX_MESSAGE_BYTES

log = structlog.get_logger()

MAX_UNFINISHED_BYTES = MAX_MESSAGE_BYTES
"""Bytes of data-channel messages that are incomplete or wait for an earlier one.  It is also advertised as the receive
window, so that a correct SCTP sender never exceeds it."""
ADVERTISED_MESSAGE_BYTES = MAX_MESSAGE_BYTES + 1024
"""Largest message in the SDP answer; browsers refuse to send longer ones.  Slightly more than is accepted, so that a
message that is a little too long gets an error."""
MAX_UNFINISHED_CHUNKS = 512
"""Fragments that these bytes may consist of: aiortc's work per fragment grows with their number."""
MAX_GAPS = 1024
"""Fragments received after a lost one.  A browser has about 100 in flight."""
MAX_STREAMS = 16
"""SCTP streams, and data channels, of one peer; the page uses one."""
MAX_SOURCES = 8
"""RTP synchronization sources of one peer.  A browser changes it rarely, e.g. with the microphone."""
SOUND_RATE = 1.25
"""Seconds of sound accepted per second: real time, and some more to catch up after a network stall."""
SOUND_BURST_S = 5.0
"""Seconds of sound accepted at once after a stall."""
MAX_EXCESS_S = 30.0
"""Seconds of sound of a session that are dropped as too fast before the peer is ended."""

BREACHES = Counter("oviya_gateway_peer_breaches_total", "Browsers that were ended at a bound, by which", ["bound"])

_SILK_MS, _HYBRID_MS, _CELT_MS = (10, 20, 40, 60), (10, 20), (2.5, 5, 10, 20)  # RFC 6716, table 2
_LONGEST_OPUS_S = 0.120  # RFC 6716, 3.2.5


class PeerGuard:
    """Watches one peer connection.

    Args:
        on_alive: called at each authenticated STUN check of the browser.
        on_breach: called once, with the name of the exceeded bound.  Nothing from the browser is processed after that.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        on_alive: Callable[[], object],
        on_breach: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_alive, self._on_breach = on_alive, on_breach
        self._sound = TokenBucket(SOUND_RATE, SOUND_BURST_S, clock)
        self._excess_s = 0.0
        self._sources: set[int] = set()
        self._clock = clock
        self.breached = ""
        """Name of the exceeded bound; empty: none."""
        self.last_packet_at = clock()
        """When the last packet of any kind came, by `clock`."""

    def watch(self, connection: RTCPeerConnection) -> None:
        """Applies the bounds to the transports that `connection` has created so far."""
        if connection.sctp:
            self._watch_messages(connection.sctp)
        for transceiver in connection.getTransceivers():
            self._watch_sound(transceiver.receiver)
        for agent in ice_agents(connection):
            self._watch_checks(agent)

    def breach(self, bound: str) -> None:
        """Ends the peer because it exceeded `bound`."""
        if self.breached:
            return
        self.breached = bound
        BREACHES.labels(bound).inc()
        log.warning("peer exceeded a bound and is ended", bound=bound)
        self._on_breach(bound)

    def _watch_messages(self, sctp: Any) -> None:
        """Checks the SCTP association after each packet, which has at most 1500 bytes."""
        handle = sctp._handle_data
        sctp._advertised_rwnd = MAX_UNFINISHED_BYTES
        sctp.getCapabilities = lambda: RTCSctpCapabilities(maxMessageSize=ADVERTISED_MESSAGE_BYTES)

        async def handle_bounded(data: bytes) -> None:
            if self.breached:
                return
            try:
                await handle(data)
            except ConnectionError:
                raise
            except Exception:
                # aiortc asserts that the peer is correct, e.g. that it opens a channel once.  Uncaught, the error would
                # end the connection's reader, with a traceback in the log for every such packet.
                log.debug("a data-channel packet could not be processed", exc_info=True)
                self.breach("protocol")
                return
            if bound := exceeded_bound(sctp):
                self.breach(bound)

        sctp._handle_data = handle_bounded

    def _watch_sound(self, receiver: Any) -> None:
        """Bounds RTP sources, and sound faster than real time, before it is decoded."""
        handle = receiver._handle_rtp_packet

        async def handle_bounded(packet: Any, arrival_time_ms: int) -> None:
            if self.breached:
                return
            self._sources.add(packet.ssrc)
            if len(self._sources) > MAX_SOURCES:
                self.breach("sources")
            elif self._allow_sound(opus_duration_s(packet.payload)):
                await handle(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtp_packet = handle_bounded

    def _allow_sound(self, seconds: float) -> bool:
        if self._sound.try_acquire(seconds):
            return True
        EXCESS_SOUND.inc(seconds)
        self._excess_s += seconds
        if self._excess_s > MAX_EXCESS_S:
            self.breach("sound")
        return False

    def _watch_checks(self, agent: Any) -> None:
        """Reports STUN checks.  aioice calls `check_incoming` only for those whose integrity it has verified."""
        check_incoming, data_received = agent.check_incoming, agent.data_received

        def checked(*arguments: Any) -> None:
            self.last_packet_at = self._clock()
            self._on_alive()
            check_incoming(*arguments)

        def received(*arguments: Any) -> None:
            self.last_packet_at = self._clock()
            data_received(*arguments)

        agent.check_incoming, agent.data_received = checked, received

    async def wait_until_silent(self, seconds: float) -> None:
        """Waits until no packet has come for `seconds`."""
        while (left_s := self.last_packet_at + seconds - self._clock()) > 0:
            await asyncio.sleep(left_s)
            await asyncio.sleep(0.1)  # after a stall of the event loop, the packets that wait are read first


def exceeded_bound(sctp: Any) -> str:
    """Returns the name of the bound that an SCTP association exceeds; empty: none."""
    streams = sctp._inbound_streams.values()
    if len(streams) > MAX_STREAMS or len(sctp._data_channels) > MAX_STREAMS:
        return "channels"
    held = [chunk for stream in streams for chunk in stream.reassembly]
    if len(held) > MAX_UNFINISHED_CHUNKS or sum(len(chunk.user_data) for chunk in held) > MAX_UNFINISHED_BYTES:
        return "unfinished messages"
    return "gaps" if len(sctp._sack_misordered) > MAX_GAPS else ""


def opus_duration_s(packet: bytes) -> float:
    """Returns the duration of an Opus packet in seconds (RFC 6716, section 3.1), at least the shortest frame."""
    if not packet:
        return _CELT_MS[0] / 1000
    configuration, code = packet[0] >> 3, packet[0] & 3
    if configuration < 12:
        frame_ms: float = _SILK_MS[configuration % 4]
    elif configuration < 16:
        frame_ms = _HYBRID_MS[configuration % 2]
    else:
        frame_ms = _CELT_MS[configuration % 4]
    frames = (1, 2, 2)[code] if code < 3 else (packet[1] & 0x3F if len(packet) > 1 else 1)
    return min(max(frames, 1) * frame_ms / 1000, _LONGEST_OPUS_S)


def check_upstream() -> None:
    """Checks that aiortc and aioice have what `PeerGuard` relies on.

    Raises:
        OviyaError: they changed; the message names what is missing and the versions.
    """
    missing = [
        f"{owner.__name__}.{name}({', '.join(parameters)})"
        for owner, name, parameters in (
            (RTCSctpTransport, "_handle_data", ["data"]),
            (rtcrtpreceiver.RTCRtpReceiver, "_handle_rtp_packet", ["packet", "arrival_time_ms"]),
            (aioice.Connection, "check_incoming", ["message", "addr", "protocol"]),
            (aioice.Connection, "data_received", ["data", "component"]),
        )
        if not hasattr(owner, name) or list(inspect.signature(getattr(owner, name)).parameters)[1:] != parameters
    ]
    source = inspect.getsource(RTCSctpTransport.__init__)
    missing += [
        f"RTCSctpTransport.{name}"
        for name in ("_advertised_rwnd", "_inbound_streams", "_data_channels", "_sack_misordered")
        if f"self.{name}" not in source
    ]
    if not hasattr(rtcsctptransport.InboundStream(), "reassembly"):
        missing.append("InboundStream.reassembly")
    if missing:
        raise OviyaError(
            f"aioice {version('aioice')} and aiortc {version('aiortc')} lack {', '.join(missing)}",
            hint="what a browser sends cannot be bounded; install aiortc 1.16 with aioice 0.13",
        )
