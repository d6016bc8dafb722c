"""Failover: unexpected errors, circuit breakers, cancelled replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager

import pytest

from oviya.errors import Busy, CheckpointError, NotReady, OviyaError, Timeout, Unavailable
from services.brain.backend import BackendStatus, Exchange, Sentence, Summary, Turn
from services.brain.failover import BROKEN_OFF, INSTEAD, Failover
from tests.support.waiting import until

ASKED = Exchange("hello")
ANNA, BEN, CLEO = (Exchange("hello", session_id=name) for name in ("anna", "ben", "cleo"))


class Scripted:
    """Yields `sentences`, then raises `fail`."""

    def __init__(self, name: str, *sentences: str) -> None:
        self.name = name
        self.sentences = sentences
        self.fail: Exception | None = None
        self.warm_fails: list[Exception] = []
        self.asked = 0
        self.summaries = 0
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
        self.summaries += 1
        if self.fail is not None:
            raise self.fail
        return Summary(self.name)

    def status(self) -> BackendStatus:
        return BackendStatus(self.name)

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


async def ask(backend: Failover, exchange: Exchange = ASKED) -> list[Sentence]:
    return [sentence async for sentence in backend.reply(exchange)]


async def test_unexpected_error_is_answered_by_the_fallback_and_its_message_is_not_shown():
    first = Scripted("first")
    first.fail = ZeroDivisionError("something secret")
    async with joined(first) as backend:
        [said] = await ask(backend)
        problem = f"first: internal error; see the brain's log; {INSTEAD}"
        assert said == Sentence("Second.", "neutral", problem, "second")
        assert "secret" not in backend.status().degraded
        first.sentences = ("One.",)
        assert (await ask(backend))[1].text == BROKEN_OFF.text
        assert (await backend.summarize("", [])).backend == "second"


async def test_pause_doubles_up_to_its_limit_and_is_reset_by_a_success():
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


async def test_primary_is_warmed_in_the_background_after_an_error():
    first = Scripted("first", "First.")
    first.warm_fails = [OviyaError("first: not yet"), OviyaError("first: not yet")]
    async with joined(first, retry_s=0.05) as backend:
        said = await ask(backend)
        assert (said[0].text, said[0].degraded) == ("Second.", f"first: not yet; {INSTEAD}")
        await until(lambda: not backend.status().degraded, within_s=20)
        assert (await ask(backend))[0].text == "First."


async def test_fatal_error_stops_the_start():
    first = Scripted("first")
    first.warm_fails = [CheckpointError("no such model")]
    with pytest.raises(CheckpointError):
        async with joined(first, fatal=(CheckpointError,)):
            pass


async def test_cancelled_reply_is_not_a_failure():
    first = Scripted("first", "One.", "Two.")
    async with joined(first) as backend:
        async with aclosing(backend.reply(ASKED)) as sentences:
            await anext(sentences)
        assert first.left
        assert not backend.status().degraded


async def test_time_out_opens_the_breaker_of_its_session_only():
    first, now = Scripted("first", "First."), 1000.0
    async with joined(first, retry_s=5.0, max_retry_s=15.0, clock=lambda: now) as backend:
        first.fail, first.sentences = Timeout("first: too slow"), ()
        assert (await ask(backend, ANNA))[0].backend == "second"
        first.fail, first.sentences = None, ("First.",)
        asked = first.asked
        again = await ask(backend, ANNA)  # she does not wait for the same time-out again
        assert first.asked == asked
        assert again[0].degraded == f"first: too slow; {INSTEAD}"
        assert await ask(backend, BEN) == [Sentence("First.", "neutral")]
        assert not backend.status().degraded
        assert first.asked == asked + 1
        assert (await ask(backend, ANNA))[0].backend == "second"  # his success does not end her pause
        now += 5.1
        assert await ask(backend, ANNA) == [Sentence("First.", "neutral")]


async def test_repeated_time_outs_of_one_session_do_not_affect_others():
    first, now = Scripted("first"), 1000.0
    async with joined(first, retry_s=1.0, max_retry_s=1.0, failures_in_a_row=3, clock=lambda: now) as backend:
        for _ in range(10):
            first.fail = Timeout("first: too slow")
            await ask(backend, ANNA)
            now += 1.1
        first.fail, first.sentences = None, ("First.",)
        assert (await ask(backend, BEN))[0].text == "First."


async def test_time_outs_of_several_sessions_in_a_row_open_the_breaker_of_the_primary():
    first, now = Scripted("first"), 1000.0
    first.fail = Timeout("first: too slow")
    async with joined(first, retry_s=5.0, max_retry_s=15.0, failures_in_a_row=2, clock=lambda: now) as backend:
        await ask(backend, ANNA)
        first.fail, first.sentences = None, ("First.",)
        await ask(backend, BEN)  # a success in between: it is not away
        first.fail, first.sentences = Timeout("first: too slow"), ()
        await ask(backend, BEN)
        asked = first.asked
        await ask(backend, CLEO)
        assert first.asked == asked + 1
        await ask(backend, Exchange("hello", session_id="dora"))
        assert first.asked == asked + 1
        now += 5.1
        first.fail, first.sentences = None, ("First.",)
        assert (await ask(backend, CLEO))[0].text == "First."
        assert not backend.status().degraded


@pytest.mark.parametrize("error", [Unavailable("first", "refused"), NotReady("first: no model")])
async def test_unreachable_server_is_not_called_for_any_session(error):
    first, now = Scripted("first"), 1000.0
    first.fail = error
    async with joined(first, retry_s=5.0, max_retry_s=15.0, clock=lambda: now) as backend:
        first.warm_fails = [OviyaError("first: no model")] * 100
        await ask(backend, ANNA)
        assert (await ask(backend, BEN))[0].backend == "second"
        assert first.asked == 1


@pytest.mark.parametrize("error", [Busy("first: full", retry_after_s=1.0), OviyaError("first: broke"), ValueError("x")])
async def test_other_failures_open_no_breaker(error):
    first = Scripted("first")
    first.fail = error
    async with joined(first, retry_s=5.0, clock=lambda: 1000.0) as backend:
        for exchange in (ANNA, BEN, CLEO, ANNA):
            await ask(backend, exchange)
        assert first.asked == 4


@pytest.mark.parametrize(
    "error", [Timeout("first: too slow"), Unavailable("first", "refused"), NotReady("first: no model"), ValueError("x")]
)
async def test_failed_summary_opens_no_breaker(error):
    first = Scripted("first", "First.")
    async with joined(first, retry_s=5.0, clock=lambda: 1000.0) as backend:
        first.fail = error
        for _ in range(5):
            made = await backend.summarize("", [])
            assert made.backend == "second"
            assert made.degraded.endswith("; the listener makes the summary")
        assert first.summaries == 5
        assert not backend.status().degraded
        first.fail = None
        assert await ask(backend, ANNA) == [Sentence("First.", "neutral")]


async def test_replies_that_fail_together_trip_the_breaker_once():
    first, now = Scripted("first"), 1000.0
    first.fail = Unavailable("first", "refused")
    async with joined(first, retry_s=5.0, max_retry_s=60.0, clock=lambda: now) as backend:
        await asyncio.gather(*(ask(backend, Exchange("hello", session_id=str(number))) for number in range(16)))
        now += 5.1
        first.fail, first.sentences = None, ("First.",)
        assert (await ask(backend, ANNA))[0].text == "First."
