"""What one browser can make the gateway hold: real aiortc clients that do what the page never does."""

from __future__ import annotations

import asyncio
import re
import struct
from typing import Any

import pytest
from aiortc import rtcsctptransport
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_DATA_UNORDERED,
    WEBRTC_DCEP,
    WEBRTC_STRING,
    DataChunk,
    ForwardTsnChunk,
)

from oviya.errors import OviyaError
from services.gateway import metrics
from services.gateway.transport.webrtc import peer_guard
from services.gateway.transport.webrtc.peer_guard import (
    ADVERTISED_MESSAGE_BYTES,
    MAX_UNFINISHED_BYTES,
    check_upstream,
    opus_duration_s,
)
from tests.support.echo_conversation import Echo, peers_of
from tests.support.waiting import PATIENCE_S, until
from tests.support.webrtc_client import browser


def held_bytes(peers):
    """The bytes of unfinished messages in all of the gateway's peers."""
    total = 0
    for peer in peers._peers.values():
        for stream in peer.connection.sctp._inbound_streams.values():
            total += sum(len(chunk.user_data) for chunk in stream.reassembly)
    return total


async def flood(user, peers, chunks):
    """Sends chunks as fast as they are taken until the gateway ends the peer; returns how many, and the most held."""
    sctp, sent, most = user.connection.sctp, 0, 0
    async with asyncio.timeout(PATIENCE_S):
        for chunk in chunks:
            if not len(peers):
                break
            try:
                await sctp._send_chunk(chunk)
            except ConnectionError:
                break
            sent += 1
            if sent % 8 == 0:
                await asyncio.sleep(0.001)
            most = max(most, held_bytes(peers))
    await until(lambda: len(peers) == 0)
    return sent, most


def chunks_of(user, *, flags=SCTP_DATA_FIRST_FRAG, size=1000, stream=None, sequence=None, step=1, count=20_000):
    """Data chunks of which only the first has the flags of a first fragment, so that no message is ever complete."""
    sctp = user.connection.sctp
    tsn = sctp._local_tsn
    for index in range(count):
        chunk = DataChunk()
        chunk.flags = flags if index == 0 or sequence is not None else flags & SCTP_DATA_UNORDERED
        chunk.tsn = (tsn + index * step) % 2**32
        chunk.stream_id = user.channel.id if stream is None else stream(index)
        chunk.stream_seq = sctp._outbound_stream_seq.get(user.channel.id, 0) if sequence is None else sequence(index)
        chunk.protocol = WEBRTC_STRING
        chunk.user_data = b"x" * size
        yield chunk


WHOLE = SCTP_DATA_FIRST_FRAG | SCTP_DATA_LAST_FRAG


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"flags": SCTP_DATA_FIRST_FRAG | SCTP_DATA_UNORDERED},
        {"size": 1},
        {"size": 1, "flags": SCTP_DATA_FIRST_FRAG | SCTP_DATA_UNORDERED},
        # complete messages that wait for one that never comes
        {"flags": WHOLE, "sequence": lambda index: 1000 + index},
        {"flags": SCTP_DATA_FIRST_FRAG, "size": 1, "sequence": lambda index: 0, "stream": lambda index: index},
        # complete messages with a gap before each
        {"flags": WHOLE | SCTP_DATA_UNORDERED, "sequence": lambda index: 0, "step": 2, "size": 1},
    ],
    ids=["fragments", "unordered", "tiny", "tiny unordered", "out of order", "streams", "gaps"],
)
async def test_messages_that_never_end_end_the_peer(options):
    async with peers_of(Echo()) as peers, browser() as user, browser() as other:
        await user.connect(await peers.answer(await user.offer()))
        sent, most = await flood(user, peers, chunks_of(user, **options))
        assert most <= MAX_UNFINISHED_BYTES + 2000
        assert sent < 5000
        await other.connect(await peers.answer(await other.offer()))  # nobody else notices
        other.send({"text": "nothing"})
        await other.event("replyEnded")


async def test_the_largest_message_is_read_and_a_larger_one_answered():
    async with peers_of(Echo()) as peers, browser() as user:
        answer = await peers.answer(await user.offer())
        assert re.findall(r"a=max-message-size:(\d+)", answer) == [str(ADVERTISED_MESSAGE_BYTES)]
        await user.connect(answer)
        for size in (MAX_UNFINISHED_BYTES, MAX_UNFINISHED_BYTES + 1):
            user.send("x" * size)
            failed = (await user.event("requestFailed"))["requestFailed"]
            assert (failed["type"], failed["field"]) == ("InvalidInput", "message")
        assert len(peers) == 1


async def test_a_message_beyond_what_was_advertised_ends_the_peer():
    async with peers_of(Echo()) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        sctp: Any = user.connection.sctp
        sctp._remote_max_message_size = 0
        user.send("x" * (200 << 10))
        failed = (await user.event("turnFailed"))["turnFailed"]
        assert "unfinished messages" in failed["hint"]
        await until(lambda: len(peers) == 0)


async def test_many_data_channels_end_the_peer():
    async with peers_of(Echo()) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        for index in range(100):
            user.connection.createDataChannel(f"more {index}")
        await until(lambda: len(peers) == 0)


async def test_data_channels_opened_and_closed_again_and_again_end_the_peer():
    async with peers_of(Echo()) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        for index in range(100):
            if not len(peers):
                break
            channel = user.connection.createDataChannel(f"more {index}")
            async with asyncio.timeout(PATIENCE_S):
                while channel.readyState != "closed" and len(peers):
                    await asyncio.sleep(0.01)
        assert index < 50
        await until(lambda: len(peers) == 0)


async def test_a_flood_of_messages_is_refused_and_then_ends_the_peer():
    echo = Echo()
    async with peers_of(echo) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        for _ in range(500):
            user.send({"endTurn": {}})
        failed = (await user.event("requestFailed"))["requestFailed"]
        assert failed["type"] == "Busy"
        await until(lambda: len(peers) == 0)
    assert len(echo.requests) < 100


@pytest.mark.parametrize("kind", ["twice opened", "no text", "far ahead", "skipped streams"])
async def test_packets_that_aiortc_trips_over_end_this_peer_alone(kind, caplog):
    async with peers_of(Echo()) as peers, browser() as user, browser() as other:
        for one in (user, other):
            await one.connect(await peers.answer(await one.offer()))
        sctp: Any = user.connection.sctp
        if kind == "twice opened":
            label = b"events"
            opened = struct.pack("!BBHLHH", 3, 0, 0, 0, len(label), 0) + label
            await sctp._send(user.channel.id, WEBRTC_DCEP, opened)
        elif kind == "no text":
            await sctp._send(user.channel.id, WEBRTC_STRING, b"\xff\xfe")
        elif kind == "far ahead":
            for chunk in chunks_of(user, flags=WHOLE | SCTP_DATA_UNORDERED, step=1 << 20, count=3):
                await sctp._send_chunk(chunk)
        else:
            skip = ForwardTsnChunk()
            skip.cumulative_tsn = (sctp._local_tsn + 1) % 2**32
            skip.streams = [(index, 0) for index in range(250)]
            await sctp._send_chunk(skip)
        await until(lambda: len(peers) == 1)
        other.send({"text": "nothing"})
        await other.event("replyEnded")
    assert "Traceback" not in caplog.text


async def test_sound_faster_than_real_time_is_dropped_and_then_ends_the_peer():
    async with peers_of(Echo()) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        user.microphone.pace = 100.0
        loop = asyncio.get_running_loop()
        since = loop.time()
        async with asyncio.timeout(150):
            while len(peers):
                await asyncio.sleep(0.02)
        dropped = metrics.EXCESS_SOUND._value.get()
        assert dropped > 0
        assert loop.time() - since < 150


@pytest.mark.parametrize(
    ("packet", "seconds"),
    [
        (b"", 0.0025),
        (bytes([0 << 3]), 0.010),
        (bytes([3 << 3]), 0.060),
        (bytes([13 << 3]), 0.020),
        (bytes([16 << 3]), 0.0025),
        (bytes([31 << 3]), 0.020),
        (bytes([31 << 3 | 1]), 0.040),
        (bytes([31 << 3 | 2]), 0.040),
        (bytes([31 << 3 | 3, 3]), 0.060),
        (bytes([31 << 3 | 3, 63]), 0.120),
        (bytes([31 << 3 | 3]), 0.020),
    ],
)
def test_the_length_of_an_opus_packet_is_read_from_its_first_bytes(packet, seconds):
    assert opus_duration_s(packet) == pytest.approx(seconds)


async def test_many_rtp_sources_end_the_peer():
    async with peers_of(Echo()) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        (peer,) = peers._peers.values()
        sender = user.connection.getSenders()[0]
        async with asyncio.timeout(PATIENCE_S):
            while len(peers):
                sender._ssrc = (sender._ssrc + 1) % 2**32
                await asyncio.sleep(0.03)
        assert peer._guard.breached == "sources"


def test_the_installed_aiortc_fits():
    check_upstream()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda patch: patch.delattr(rtcsctptransport.RTCSctpTransport, "_handle_data"), "_handle_data"),
        (
            lambda patch: patch.setattr(peer_guard.rtcrtpreceiver.RTCRtpReceiver, "_handle_rtp_packet", lambda self: 0),
            "_handle_rtp_packet",
        ),
        (lambda patch: patch.setattr(rtcsctptransport, "InboundStream", object), "InboundStream.reassembly"),
    ],
)
def test_another_aiortc_is_refused_in_plain_words(monkeypatch, change, named):
    change(monkeypatch)
    with pytest.raises(OviyaError, match=named) as caught:
        check_upstream()
    assert "aiortc 1.16" in caught.value.hint
