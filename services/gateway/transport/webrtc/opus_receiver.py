"""Puts a browser's Opus packets in order and decodes them, in place of aiortc's jitter buffer.

aiortc's buffer always holds four packets, 80 ms of the user's speech, waits for 16 after a lost one, and hands each
frame to a thread.  This sound is not played, so nothing has to be held while packets come in order, and decoding 20 ms
takes less time than the way to a thread and back.  `receive_at_once` replaces one attribute of an aiortc receiver
before it starts; `check_upstream` raises a clear error when a new aiortc no longer fits.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import structlog
from aiortc import RTCRtpReceiver
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from aiortc.rtp import RtpPacket
from av.error import FFmpegError

from oviya.errors import OviyaError

log = structlog.get_logger()

MAX_HELD = 4
"""Packets that wait for an earlier one, 80 ms; then it counts as lost."""
MAX_STEP = 100
"""Largest step of the sequence number; beyond it a new stream begins."""
_ATTRIBUTE = "_RTCRtpReceiver__jitter_buffer"


class OpusReceiver:
    """Takes RTP packets as they arrive and puts decoded frames into the track.

    Args:
        track: aiortc's track of the receiver.
    """

    def __init__(self, track: RemoteStreamTrack) -> None:
        self._frames = track._queue
        self._decoder = OpusDecoder()
        self._held: dict[int, RtpPacket] = {}  # by the extended sequence number
        self._next: int | None = None  # extended sequence number that is due
        self._timestamp: int | None = None  # extended timestamp of the latest packet

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Takes a packet.  The answer means to aiortc: no picture is lost, and there is no frame for its decoder."""
        step = 0 if self._next is None else _signed(packet.sequence_number - self._next, 16)
        if self._next is None or abs(step) > MAX_STEP:
            self._held.clear()
            self._next, step = packet.sequence_number, 0
        if step >= 0:
            self._held[self._next + step] = packet
            if len(self._held) >= MAX_HELD:
                self._next = min(self._held)
            while (due := self._held.pop(self._next, None)) is not None:
                self._next += 1
                self._decode(due)
        return False, None

    def _decode(self, packet: RtpPacket) -> None:
        if self._timestamp is None:
            self._timestamp = packet.timestamp
        self._timestamp += _signed(packet.timestamp - self._timestamp, 32)
        try:
            for frame in self._decoder.decode(JitterFrame(packet.payload, self._timestamp)):
                self._frames.put_nowait(frame)
        except FFmpegError as error:
            log.debug("an Opus packet could not be decoded", error=str(error))


def receive_at_once(receiver: RTCRtpReceiver) -> None:
    """Makes an audio receiver that has not been started use an `OpusReceiver`, if the browser sends sound."""
    track: Any = receiver.track
    if track is not None:
        setattr(receiver, _ATTRIBUTE, OpusReceiver(track))


def _signed(difference: int, bits: int) -> int:
    """Returns a difference of numbers that wrap around at `bits` bits."""
    half = 1 << (bits - 1)
    return (difference + half) % (1 << bits) - half


def check_upstream() -> None:
    """Checks that aiortc has what `receive_at_once` relies on.

    Raises:
        OviyaError: it changed.
    """
    handler: Any = RTCRtpReceiver._handle_rtp_packet
    expected = (
        (handler, "self.__jitter_buffer.add(packet)"),
        (RemoteStreamTrack.__init__, "self._queue"),
    )
    if missing := [text for function, text in expected if text not in inspect.getsource(function)]:
        raise OviyaError(
            f"aiortc {version('aiortc')} lacks {', '.join(missing)}",
            hint="the user's sound cannot be read without delay; install aiortc 1.16",
        )
