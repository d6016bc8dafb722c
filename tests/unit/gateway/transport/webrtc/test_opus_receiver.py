"""A browser's packets: in order at once, out of order after a short wait, decoded where they are taken."""

from __future__ import annotations

import numpy as np
import pytest
from aiortc import rtcrtpreceiver
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from aiortc.rtp import RtpPacket

from oviya.errors import OviyaError
from services.gateway.transport.webrtc.opus_receiver import MAX_HELD, MAX_STEP, OpusReceiver, check_upstream
from services.gateway.transport.webrtc.opus_stream import OpusStream
from services.gateway.transport.webrtc.playout_queue import FRAME_SAMPLES, RATE_HZ
from tests.support.webrtc_client import dominant_hz, tone


class Received:
    """What a receiver makes of packets."""

    def __init__(self, *, sequence=65_530, timestamp=(1 << 32) - 2 * FRAME_SAMPLES):
        self.track = RemoteStreamTrack("audio")
        self.receiver = OpusReceiver(self.track)
        self.sequence, self.timestamp = sequence, timestamp
        stream = OpusStream()
        sound = tone(600, 1.0)
        self.payloads = [
            bytes(stream.encode(sound[start : start + FRAME_SAMPLES], start))
            for start in range(0, len(sound), FRAME_SAMPLES)
        ]
        self.frames = []

    def add(self, *indices, payload=None):
        """Adds packets by their index; returns the indices of the frames that this gives."""
        for index in indices:
            packet = RtpPacket(
                sequence_number=(self.sequence + index) % (1 << 16),
                timestamp=(self.timestamp + index * FRAME_SAMPLES) % (1 << 32),
            )
            packet.payload = self.payloads[index % len(self.payloads)] if payload is None else payload
            self.receiver.add(packet)
        given = []
        while not self.track._queue.empty():
            self.frames.append(self.track._queue.get_nowait())
            given.append((self.frames[-1].pts - self.frames[0].pts) // FRAME_SAMPLES)
        return given


async def test_packets_in_order_are_decoded_at_once():
    received = Received()
    for index in range(50):
        assert received.add(index) == [index]  # both numbers wrap around on the way
    sound = np.concatenate([frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in received.frames]) / 32768
    assert dominant_hz(sound[4800:], RATE_HZ) == pytest.approx(600, abs=2)


async def test_packets_out_of_order_are_put_in_order():
    received = Received()
    assert received.add(0, 2, 1, 3) == [0, 1, 2, 3]
    assert received.add(6, 5) == []
    assert received.add(4) == [4, 5, 6]


async def test_a_lost_packet_is_waited_for_briefly():
    received = Received()
    received.add(0, 1)
    assert received.add(*range(3, 3 + MAX_HELD - 1)) == []
    assert received.add(3 + MAX_HELD - 1) == list(range(3, 3 + MAX_HELD))
    assert received.add(2) == []  # too late
    assert received.add(3 + MAX_HELD) == [3 + MAX_HELD]


async def test_a_packet_that_comes_twice_is_taken_once():
    received = Received()
    assert received.add(0, 1, 1, 0, 2) == [0, 1, 2]


async def test_a_new_stream_begins_at_a_large_step():
    received = Received()
    received.add(0, 1)
    assert received.add(MAX_STEP + 500) == [MAX_STEP + 500]
    assert received.add(MAX_STEP + 501) == [MAX_STEP + 501]


async def test_a_packet_that_is_no_opus_is_left_out():
    received = Received()
    assert received.add(0) == [0]
    assert received.add(1, payload=b"\xff\xff\xff") == []
    assert received.add(2) == [2]


def test_the_installed_aiortc_fits():
    check_upstream()


def test_another_aiortc_is_refused_in_plain_words(monkeypatch):
    monkeypatch.setattr(rtcrtpreceiver.RTCRtpReceiver, "_handle_rtp_packet", lambda self: 0)
    with pytest.raises(OviyaError, match="jitter_buffer"):
        check_upstream()
