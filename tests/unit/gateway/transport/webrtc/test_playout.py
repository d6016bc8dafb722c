"""The reply's track: packets at the pace of the clock, few of them in silence."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError

from services.gateway.transport.webrtc.opus_stream import HANGOVER_FRAMES, SILENT_FRAMES
from services.gateway.transport.webrtc.playout import CAPACITY_S, Playout
from services.gateway.transport.webrtc.playout_queue import FADE_S, FRAME_S, FRAME_SAMPLES, RATE_HZ
from tests.support.webrtc_client import dominant_hz, tone

pytestmark = pytest.mark.virtual_time
SILENT_S = SILENT_FRAMES * FRAME_S


def new_playout() -> Any:
    return Playout(lambda turn, seconds: None)


def sound(seconds, value=0.5):
    return np.full(round(seconds * RATE_HZ), value, np.float32)


async def put(playout, samples, at=0.0):
    await playout.put(samples, 0, at)


def decode(packets):
    decoder = OpusDecoder()
    frames: list[Any] = []
    for packet in packets:
        frames += decoder.decode(JitterFrame(bytes(packet), packet.pts))
    values = np.concatenate([frame.to_ndarray().reshape(-1, 2) for frame in frames]) / 32768
    assert np.abs(values[:, 0] - values[:, 1]).max() < 1e-3
    return values[:, 0]


async def test_packets_hold_the_sound_at_its_level():
    playout = new_playout()
    await put(playout, tone(700, 1.0))
    playout.end_reply()
    heard = decode([await playout.recv() for _ in range(50)])[4800:]
    assert dominant_hz(heard, RATE_HZ) == pytest.approx(700, abs=2)
    assert np.sqrt(2) * heard.std() == pytest.approx(0.3, rel=0.03)


async def test_loud_samples_are_bounded_not_wrapped():
    playout = new_playout()
    await put(playout, np.concatenate((tone(200, 0.5, 0.99), 1.5 * tone(200, 0.5, 0.99))))
    playout.end_reply()
    heard = decode([await playout.recv() for _ in range(50)])
    assert dominant_hz(heard[-FRAME_SAMPLES * 20 :], RATE_HZ) == pytest.approx(200, abs=3)


async def test_packets_leave_at_the_pace_of_the_clock():
    loop, playout = asyncio.get_running_loop(), new_playout()
    await put(playout, sound(2.0))
    since = loop.time()
    packets = [await playout.recv() for _ in range(10)]
    assert loop.time() - since == pytest.approx(9 * FRAME_S)
    assert [packet.pts for packet in packets] == [index * FRAME_SAMPLES for index in range(10)]
    await asyncio.sleep(0.070)  # a late loop: the next packets follow without waiting until the pace is met again
    for _ in range(5):
        await playout.recv()
    assert loop.time() - since == pytest.approx(14 * FRAME_S)


async def test_a_suspended_machine_does_not_burst():
    loop, playout = asyncio.get_running_loop(), new_playout()
    await put(playout, sound(2.0))
    first = await playout.recv()
    await asyncio.sleep(60)
    second = await playout.recv()
    since = loop.time()
    await playout.recv()
    assert loop.time() - since == pytest.approx(FRAME_S)
    assert second.pts - first.pts == pytest.approx(60 * RATE_HZ, abs=1)


async def test_silence_takes_a_packet_of_one_byte_every_400_ms():
    loop, playout = asyncio.get_running_loop(), new_playout()
    await put(playout, tone(300, 0.1))
    playout.end_reply()
    for _ in range(5 + HANGOVER_FRAMES):
        last = await playout.recv()
    since = loop.time()
    silent = [await playout.recv() for _ in range(10)]
    assert {len(bytes(packet)) for packet in silent} == {1}
    assert loop.time() - since == pytest.approx(10 * SILENT_S)
    assert silent[-1].pts - last.pts == pytest.approx(10 * SILENT_S * RATE_HZ, abs=10)
    assert np.abs(decode([last, *silent])).max() < 1e-3


async def test_sound_ends_the_silence_at_once():
    loop, playout = asyncio.get_running_loop(), new_playout()
    for _ in range(HANGOVER_FRAMES + 3):
        last = await playout.recv()
    last_at = loop.time()
    receiving = asyncio.ensure_future(playout.recv())
    await asyncio.sleep(0.123)
    assert not receiving.done()
    since = loop.time()
    await put(playout, tone(300, 0.5))
    first = await receiving
    assert loop.time() == since
    assert first.pts - last.pts == pytest.approx((since - last_at) * RATE_HZ, abs=1)
    assert np.abs(decode([first, *[await playout.recv() for _ in range(5)]])).max() > 0.2


async def test_a_marker_in_silence_is_called_at_once():
    playout, told = new_playout(), asyncio.Event()
    for _ in range(HANGOVER_FRAMES + 3):
        await playout.recv()
    receiving = asyncio.ensure_future(playout.recv())
    await asyncio.sleep(0.1)
    playout.mark(told.set)
    playout.end_reply()
    await receiving
    assert told.is_set()
    await playout.drained()


async def test_a_cut_is_silent_after_its_fade():
    playout = new_playout()
    await put(playout, tone(300, 2.0))
    before = [await playout.recv() for _ in range(10)]
    playout.fade_out()
    after = [await playout.recv() for _ in range(8)]
    heard = decode(before + after)
    assert np.abs(heard[10 * FRAME_SAMPLES + round((FADE_S + 0.010) * RATE_HZ) :]).max() < 2e-3
    await playout.drained()


async def test_adding_too_much_waits_until_it_is_played_or_cut():
    playout = new_playout()
    await put(playout, sound(CAPACITY_S))
    for release in (playout.recv, playout.recv):
        adding = asyncio.ensure_future(put(playout, sound(0.1)))
        await asyncio.sleep(0)
        assert not adding.done()
        for _ in range(5):
            await release()
        await adding
    adding = asyncio.ensure_future(put(playout, sound(CAPACITY_S)))
    await asyncio.sleep(0)
    playout.fade_out()
    await adding


async def test_drained_waits_for_the_last_sound():
    playout = new_playout()
    await put(playout, sound(0.1))
    playout.end_reply()
    waiting = asyncio.ensure_future(playout.drained())
    for _ in range(5):
        assert not waiting.done()
        await playout.recv()
    await waiting


async def test_a_stopped_track_ends_and_releases_those_who_wait():
    playout, told = new_playout(), []
    await put(playout, sound(CAPACITY_S))
    playout.mark(lambda: told.append("end"))
    adding = asyncio.ensure_future(put(playout, sound(1.0)))
    await asyncio.sleep(0)
    playout.stop()
    await adding
    await playout.drained()
    playout.mark(lambda: told.append("late"))
    await playout.drained()
    with pytest.raises(MediaStreamError):
        await playout.recv()
    assert told == []


async def test_a_track_that_stops_in_silence_ends_at_once():
    loop, playout = asyncio.get_running_loop(), new_playout()
    for _ in range(HANGOVER_FRAMES + 3):
        await playout.recv()
    receiving = asyncio.ensure_future(playout.recv())
    await asyncio.sleep(0.1)
    since = loop.time()
    playout.stop()
    with pytest.raises(MediaStreamError):
        await receiving
    assert loop.time() == since
