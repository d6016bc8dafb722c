"""Playout: order, markers, pace, gaps, cuts."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from services.gateway.transport.webrtc.playout import CAPACITY_S, FRAME_SAMPLES, PREBUFFER_S, RATE_HZ, Playout
from tests.support.metrics import metric


def sound(seconds, value=0.5):
    return np.full(round(seconds * RATE_HZ), value, np.float32)


def take(playout, frames):
    return np.concatenate([playout.next_samples() for _ in range(frames)])


def gap_seconds():
    return metric("gateway_playout_underrun_seconds_total")


@pytest.fixture
def gaps():
    """Counts the gaps since the start of a test."""
    before = metric("gateway_playout_underruns_total")
    return lambda: metric("gateway_playout_underruns_total") - before


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 100.0
        self.slept = []

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


async def test_what_is_queued_is_played_in_order_and_then_silence(gaps):
    playout = Playout()
    ramp = np.linspace(-1, 1, 5000, dtype=np.float32)
    await playout.put(ramp[:3001])
    await playout.put(ramp[3001:])
    playout.end_reply()
    played = take(playout, 7)
    assert np.array_equal(played[:5000], ramp)
    assert not played[5000:].any()
    assert gaps() == 0


async def test_frames_are_opus_sized_stereo_at_full_level():
    playout = Playout()
    await playout.put(sound(0.1, 0.5))
    playout.end_reply()
    first, second = await playout.recv(), await playout.recv()
    assert (first.sample_rate, first.samples, first.layout.name, first.format.name) == (48_000, 960, "stereo", "s16")
    assert (first.pts, second.pts) == (0, 960)
    assert set(first.to_ndarray().ravel()) == {round(0.5 * 32767)}  # both channels, no 3 dB lost
    assert np.sqrt(np.mean(np.square(first.to_ndarray() / 32767.0))) == pytest.approx(0.5, abs=1e-4)


async def test_the_encoder_of_aiortc_takes_the_frames_as_they_are():
    from aiortc.codecs.opus import OpusEncoder

    playout = Playout()
    encoder = OpusEncoder()
    payloads, _ = encoder.encode(await playout.recv())
    assert len(payloads) == 1


async def test_markers_are_called_when_their_place_is_played():
    playout, told = Playout(), []
    playout.mark(lambda: told.append("first"))
    await playout.put(sound(0.1))
    playout.mark(lambda: told.append("second"))
    await playout.put(sound(0.06))
    playout.mark(lambda: told.append("end"))
    playout.end_reply()
    seen = []
    for _ in range(9):
        playout.next_samples()
        seen.append(len(told))
    assert told == ["first", "second", "end"]
    assert seen == [1, 1, 1, 1, 2, 2, 2, 3, 3]  # 100 ms is five frames, 60 ms three


async def test_a_reply_without_sound_still_tells_its_end():
    playout, told = Playout(), []
    playout.mark(lambda: told.append("end"))
    playout.end_reply()
    playout.next_samples()
    assert told == ["end"]
    await playout.drained()


async def test_a_reply_waits_for_a_little_sound_then_plays_what_there_is():
    playout = Playout()
    await playout.put(sound(PREBUFFER_S - 0.010))
    assert not take(playout, 3).any()
    await playout.put(sound(0.010))
    assert take(playout, 3).all()


async def test_late_sound_is_counted_as_one_gap_with_its_length(gaps):
    before = gap_seconds()
    playout = Playout()
    await playout.put(sound(0.1))
    take(playout, 10)  # 100 ms of sound, 100 ms of nothing
    await playout.put(sound(0.1))
    playout.end_reply()
    take(playout, 20)
    assert gaps() == 1
    assert gap_seconds() - before == pytest.approx(0.1)


async def test_the_silence_between_replies_is_no_gap(gaps):
    playout = Playout()
    for _ in range(2):
        await playout.put(sound(0.1))
        playout.end_reply()
        take(playout, 20)
    assert gaps() == 0


async def test_clear_cuts_at_once_with_a_short_fade_and_forgets_markers(gaps):
    playout, told = Playout(), []
    await playout.put(sound(2.0))
    playout.mark(lambda: told.append("end"))
    take(playout, 10)
    lost_s = playout.clear()
    assert lost_s == pytest.approx(2.0 - 0.2 - 0.005)
    after = take(playout, 5)
    fade = round(0.005 * RATE_HZ)
    assert np.all(np.diff(after[:fade]) <= 0)
    assert not after[fade:].any()
    assert told == []
    await playout.drained()
    assert gaps() == 0


async def test_a_reply_after_a_cut_plays_whole():
    playout = Playout()
    await playout.put(sound(1.0, 0.3))
    take(playout, 5)
    playout.clear()
    take(playout, 5)
    await playout.put(sound(0.2, 0.7))
    playout.end_reply()
    assert take(playout, 10) == pytest.approx(0.7)


async def test_who_adds_too_much_waits_until_it_is_played_or_cut():
    playout = Playout()
    await playout.put(sound(CAPACITY_S))
    adding = asyncio.ensure_future(playout.put(sound(0.1)))
    await asyncio.sleep(0)
    assert not adding.done()
    take(playout, 1)
    await adding
    again = asyncio.ensure_future(playout.put(sound(0.1)))
    await asyncio.sleep(0)
    assert not again.done()
    playout.clear()
    await again


async def test_drained_waits_for_the_last_sound():
    playout = Playout()
    await playout.put(sound(0.1))
    playout.end_reply()
    waiting = asyncio.ensure_future(playout.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    take(playout, 5)
    await waiting


async def test_frames_leave_at_the_pace_of_the_clock():
    time = FakeTime()
    playout = Playout(time.clock, time.sleep)
    for _ in range(5):
        await playout.recv()
    assert time.now == pytest.approx(100.0 + 4 * 0.020)
    time.now += 0.050  # a late loop: the next frames follow without waiting until the pace is met again
    before = time.now
    await playout.recv()
    await playout.recv()
    assert time.now == before
    await playout.recv()
    assert time.now == pytest.approx(100.0 + 7 * 0.020)


async def test_a_suspended_machine_does_not_burst():
    time = FakeTime()
    playout = Playout(time.clock, time.sleep)
    await playout.recv()
    time.now += 60
    await playout.recv()
    await playout.recv()
    assert time.slept[-1] == pytest.approx(0.020)


async def test_a_stopped_track_ends_and_lets_everybody_go():
    playout, told = Playout(), []
    await playout.put(sound(CAPACITY_S))
    playout.mark(lambda: told.append("end"))
    adding = asyncio.ensure_future(playout.put(sound(1.0)))
    await asyncio.sleep(0)
    playout.stop()
    await adding
    await playout.drained()
    playout.mark(lambda: told.append("late"))
    await playout.drained()
    with pytest.raises(MediaStreamError):
        await playout.recv()
    assert told == []


async def test_loud_samples_are_bounded_not_wrapped():
    playout = Playout()
    await playout.put(np.array([2.0, -2.0] * FRAME_SAMPLES, np.float32))
    playout.end_reply()
    values = (await playout.recv()).to_ndarray()
    assert set(values.ravel()) == {32767, -32767}
