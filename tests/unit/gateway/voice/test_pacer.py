"""The pace at which sound is sent."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.voice.pacer import Pacer

pytestmark = pytest.mark.virtual_time


async def test_pacer_holds_back_what_is_too_far_ahead():
    loop = asyncio.get_running_loop()
    pacer = Pacer(0.2)
    started = loop.time()
    for _ in range(5):
        await pacer.pace(0.1)  # 0.5 s of sound, 0.2 s ahead: the last is sent at 0.3 s
    assert loop.time() - started == pytest.approx(0.3)


async def test_pacer_starts_again_after_a_pause_and_zero_holds_nothing_back():
    loop = asyncio.get_running_loop()
    pacer = Pacer(0.1)
    await pacer.pace(0.1)
    await asyncio.sleep(0.2)  # what was sent has been played
    started = loop.time()
    await pacer.pace(0.1)
    free = Pacer(0.0)
    for _ in range(1000):
        await free.pace(10.0)
    assert loop.time() - started == pytest.approx(0.0)
