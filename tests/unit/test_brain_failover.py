"""One backend in the place of another: what nobody foresaw, pauses that grow, callers who leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager

import pytest

from oviya.errors import CheckpointError, OviyaError, Timeout
from services.brain.backend import Condition, Exchange, Sentence, Summary, Turn
from services.brain.failover import BROKEN_OFF, INSTEAD, Failover

ASKED = Exchange("hello")


class Scripted:
    """Says `sentences`, then fails with `fail`."""

    def __init__(self, name: str, *sentences: str) -> None:
        self.name = name
        self.sentences = sentences
        self.fail: Exception | None = None
        self.warm_fails: list[Exception] = []
        self.asked = 0
        self.left = False

    async def warm(self) -> None:
        if self.warm_fails:
            raise self.warm_fails.pop(0)

    async def reply(self, exchange: Exchange) -> AsyncGenerator[Sentence, None]:
        self.asked += 1
        try:
            for text in self.sentences:
                yield Sentence(text, "neutral")
            if self.fail is not None:
                raise self.fail
        finally:
            self.left = True

    async def summarize(self, summary: str, turns: Sequence[Turn]) -> Summary:
        if self.fail is not None:
            raise self.fail
        return Summary(self.name)

    def condition(self) -> Condition:
        return Condition(self.name)

    async def close(self) -> None:
        pass


@asynccontextmanager
async def joined(first: Scripted, **settings):
    second = Scripted("second", "Second.")
    backend = Failover(first, second, **{"retry_s": 0.1, "max_retry_s": 0.4, **settings})
    try:
        await backend.warm()
        yield backend
    finally:
        await backend.close()


async def ask(backend: Failover) -> list[Sentence]:
    return [sentence async for sentence in backend.reply(ASKED)]


async def test_what_nobody_foresaw_is_answered_too_and_its_words_stay_in_the_log():
    first = Scripted("first")
    first.fail = ZeroDivisionError("something secret")
    async with joined(first) as backend:
        [said] = await ask(backend)
        problem = f"first: made a mistake; the brain's log has the details; {INSTEAD}"
        assert said == Sentence("Second.", "neutral", problem, "second")
        assert "secret" not in backend.condition().degraded
        first.sentences = ("One.",)
        assert (await ask(backend))[1].text == BROKEN_OFF.text
        assert (await backend.summarize("", [])).backend == "second"


async def test_pause_grows_with_each_time_out_up_to_its_limit_and_ends_with_a_success():
    first, now = Scripted("first"), 1000.0
    first.fail = Timeout("first: too slow")
    async with joined(first, retry_s=5.0, max_retry_s=15.0, clock=lambda: now) as backend:

        async def asks_first() -> bool:
            before = first.asked
            await ask(backend)
            return first.asked > before

        for pause_s in (5.0, 10.0, 15.0, 15.0):
            assert await asks_first()
            now += pause_s - 0.1
            assert not await asks_first()
            now += 0.2
        first.fail, first.sentences = None, ("First.",)
        assert [s.text for s in await ask(backend)] == ["First."]
        first.fail, first.sentences = OviyaError("first: broke"), ()
        assert await asks_first()
        assert await asks_first()  # no time-out, so no pause


async def test_who_is_not_warm_is_warmed_in_the_background():
    first = Scripted("first", "First.")
    first.warm_fails = [OviyaError("first: not yet"), OviyaError("first: not yet")]
    async with joined(first, retry_s=0.05) as backend:
        said = await ask(backend)
        assert (said[0].text, said[0].degraded) == ("Second.", f"first: not yet; {INSTEAD}")
        async with asyncio.timeout(5):
            while backend.condition().degraded:
                await asyncio.sleep(0.01)
        assert (await ask(backend))[0].text == "First."


async def test_what_no_waiting_mends_stops_the_start():
    first = Scripted("first")
    first.warm_fails = [CheckpointError("no such model")]
    with pytest.raises(CheckpointError):
        async with joined(first, fatal=(CheckpointError,)):
            pass


async def test_caller_who_leaves_is_no_failure():
    first = Scripted("first", "One.", "Two.")
    async with joined(first) as backend:
        async with aclosing(backend.reply(ASKED)) as sentences:
            await anext(sentences)
        assert first.left
        assert not backend.condition().degraded
