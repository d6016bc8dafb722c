"""Requests and playback reports on their way to the conversation."""

from __future__ import annotations

import asyncio

import pytest

from oviya.durations import seconds
from oviya.v1 import conversation_pb2
from services.gateway.transport.webrtc.request_queue import RequestQueue


def sound(index):
    return conversation_pb2.ConverseRequest(audio=bytes([index]))


async def drain(queue):
    queue.close()
    return [request async for request in queue]


async def test_requests_come_in_order_and_end():
    queue = RequestQueue(3)
    for index in range(3):
        queue.put_nowait(sound(index))
    assert [request.audio for request in await drain(queue)] == [b"\0", b"\1", b"\2"]


async def test_a_full_queue_refuses_requests_but_takes_reports_which_evict_nothing():
    queue = RequestQueue(2)
    for index in range(2):
        queue.put_nowait(sound(index))
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(sound(2))
    for position in (0.2, 0.4, 0.6):
        queue.report_played(1, position)
    queue.report_played(2, 0.1)
    requests = await drain(queue)
    assert [request.WhichOneof("request") for request in requests] == ["played", "played", "audio", "audio"]
    assert [(request.played.turn, seconds(request.played.position)) for request in requests[:2]] == [(1, 0.6), (2, 0.1)]


async def test_a_waiting_reader_gets_what_comes():
    queue = RequestQueue(2)
    reader = aiter(queue)
    for send in (lambda: queue.put_nowait(sound(1)), lambda: queue.report_played(0, 1.0)):
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        assert not waiting.done()
        send()
        await waiting
    waiting = asyncio.ensure_future(anext(reader, None))
    await asyncio.sleep(0)
    queue.close()
    assert await waiting is None
