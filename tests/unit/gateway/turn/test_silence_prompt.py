"""A user who says nothing for long is asked once."""

from __future__ import annotations

import asyncio

import pytest

from oviya.tasks import cancel_and_wait
from services.gateway.turn.silence_prompt import SilencePrompt

pytestmark = pytest.mark.virtual_time


async def test_each_long_silence_is_asked_about_once():
    asked: list[float] = []
    loop = asyncio.get_running_loop()
    prompt = SilencePrompt(10.0, lambda: asked.append(loop.time()))
    running = asyncio.create_task(prompt.run())
    await asyncio.sleep(100.0)
    assert asked == []  # nothing has been said yet
    prompt.user_active()
    prompt.turn_began()
    await asyncio.sleep(100.0)  # a long turn
    prompt.turn_over()
    await asyncio.sleep(9.0)
    prompt.turn_began()  # the reply
    prompt.turn_over()
    await asyncio.sleep(100.0)
    assert asked == [pytest.approx(219.0)]
    prompt.turn_began()  # the question itself
    prompt.turn_over()
    await asyncio.sleep(100.0)
    assert len(asked) == 1
    prompt.user_active()
    prompt.turn_began()
    prompt.turn_over()
    await asyncio.sleep(11.0)
    assert len(asked) == 2
    await cancel_and_wait(running)


async def test_the_silence_begins_when_the_last_of_several_turns_is_over():
    asked: list[float] = []
    loop = asyncio.get_running_loop()
    prompt = SilencePrompt(10.0, lambda: asked.append(loop.time()))
    running = asyncio.create_task(prompt.run())
    prompt.turn_began()
    prompt.turn_began()
    prompt.turn_over()
    await asyncio.sleep(50.0)
    assert asked == []
    prompt.turn_over()
    await asyncio.sleep(50.0)
    assert asked == [pytest.approx(60.0)]
    await cancel_and_wait(running)
