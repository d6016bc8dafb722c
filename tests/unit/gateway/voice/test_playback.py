"""Where the caller is in the sound, and the pace at which it is sent."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.voice.playback import Playback
from tests.support.metrics import metric

pytestmark = pytest.mark.virtual_time


async def send(playback: Playback, length_s: float, *, follows: bool = True) -> None:
    await asyncio.sleep(playback.wait_s(length_s))
    playback.add(length_s, follows=follows)


async def test_sound_is_held_back_that_is_too_far_ahead():
    loop, playback = asyncio.get_running_loop(), Playback(0.2)
    started = loop.time()
    for _ in range(5):
        await send(playback, 0.1)  # 0.5 s of sound, 0.2 s ahead: the last is sent at 0.3 s
    assert loop.time() - started == pytest.approx(0.3)
    assert playback.position_s == pytest.approx(0.3)


async def test_without_a_lead_nothing_is_held_back_and_everything_sent_counts_as_played():
    loop, playback = asyncio.get_running_loop(), Playback(0.0)
    for _ in range(1000):
        await send(playback, 10.0)
    assert loop.time() == 0.0
    assert (playback.position_s, playback.paced) == (10_000.0, False)
    playback.report(5.0)
    await asyncio.sleep(1.0)
    assert (playback.position_s, playback.paced) == (6.0, True)


async def test_sound_that_comes_late_is_a_gap_unless_it_need_not_follow():
    playback, gaps = Playback(1.0), metric("gateway_reply_gaps_total")
    await send(playback, 0.1, follows=False)
    await asyncio.sleep(0.11)
    await send(playback, 0.1)  # 10 ms late: a timer
    await asyncio.sleep(0.2)
    assert playback.position_s == pytest.approx(0.2)
    await send(playback, 0.1, follows=False)
    assert metric("gateway_reply_gaps_total") == gaps
    await asyncio.sleep(0.2)
    await send(playback, 0.1)
    assert metric("gateway_reply_gaps_total") == gaps + 1
    await asyncio.sleep(0.05)
    assert playback.position_s == pytest.approx(0.35)  # what plays now began when it came


async def test_a_reported_position_replaces_the_assumed_one_but_is_never_beyond_what_was_sent():
    playback = Playback(5.0)
    await send(playback, 2.0)
    await asyncio.sleep(1.0)
    playback.report(0.25)
    assert playback.position_s == pytest.approx(0.25)
    await asyncio.sleep(0.5)
    assert playback.position_s == pytest.approx(0.75)
    playback.report(9.0)
    assert playback.position_s == 2.0


async def test_what_is_cut_is_never_played_and_a_rewound_reply_is_played_again():
    playback = Playback(5.0)
    await send(playback, 2.0)
    await asyncio.sleep(1.0)
    assert playback.cut() == playback.sent_s == pytest.approx(1.0)
    await asyncio.sleep(5.0)
    assert playback.position_s == pytest.approx(1.0)
    playback.rewind(0.75)
    assert (playback.position_s, playback.sent_s) == (0.75, 0.75)
    await send(playback, 1.0, follows=False)
    await asyncio.sleep(0.5)
    assert playback.position_s == pytest.approx(1.25)
