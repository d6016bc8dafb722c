"""A filler bridges a long wait for the brain, once a reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from oviya.errors import Unavailable
from services.gateway.turn.filler import Fillers
from services.gateway.voice.segment import Sentence

pytestmark = pytest.mark.virtual_time


async def reply(first_s: float, *texts: str, fail: bool = False) -> AsyncGenerator[Sentence, None]:
    await asyncio.sleep(first_s)
    for text in texts:
        yield Sentence(text, text, "joy")
        await asyncio.sleep(9.0)
    if fail:
        raise Unavailable("brain", "the script ends it")


def begun(*, at_once: bool = True) -> asyncio.Event:
    event = asyncio.Event()
    if at_once:
        event.set()
    return event


async def said(fillers: Fillers, sentences: AsyncGenerator[Sentence, None]) -> list[tuple[str, bool]]:
    return [(one.text, one.filler) async for one in fillers.add(sentences, begun())]


async def test_a_quick_answer_needs_no_filler():
    assert await said(Fillers(["Hm."], 1.5), reply(1.0, "A.", "B.")) == [("A.", False), ("B.", False)]


async def test_a_slow_answer_gets_one_and_the_next_slow_answer_another():
    fillers = Fillers(["Hm.", "Let me see."], 1.5)
    assert await said(fillers, reply(9.0, "A.", "B.")) == [("Hm.", True), ("A.", False), ("B.", False)]
    assert await said(fillers, reply(9.0, "A.")) == [("Let me see.", True), ("A.", False)]
    assert await said(fillers, reply(9.0)) == [("Hm.", True)]


async def test_no_fillers_are_said_where_there_are_none():
    assert await said(Fillers([], 1.5), reply(9.0, "A.")) == [("A.", False)]


async def test_the_wait_counts_from_the_end_of_the_turn():
    loop, over, times = asyncio.get_running_loop(), begun(at_once=False), []
    loop.call_later(20.0, over.set)
    async for sentence in Fillers(["Hm."], 1.5).add(reply(30.0, "A."), over):
        times.append((sentence.text, loop.time()))
    assert times == [("Hm.", pytest.approx(21.5)), ("A.", pytest.approx(30.0))]


async def test_failures_pass_and_a_reader_who_leaves_ends_the_reply():
    with pytest.raises(Unavailable):
        await said(Fillers(["Hm."], 1.5), reply(9.0, fail=True))
    async with aclosing(Fillers(["Hm."], 1.5).add(reply(9.0, "A."), begun())) as sentences:
        assert (await anext(sentences)).filler
