"""Why a session ends, on a clock that stands still until it is moved, and who may open one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from oviya.errors import Busy, NotReady, OviyaError, Timeout
from services.gateway import metrics
from services.gateway.conversation.lifetime import Lifetime, Sessions
from services.gateway.settings import GatewaySettings

IDLE_S, MAX_S = 300.0, 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lifetime_of(clock: Clock, draining: asyncio.Event | None = None) -> Lifetime:
    return Lifetime(IDLE_S, MAX_S, draining or asyncio.Event(), clock)


def test_session_without_activity_ends_as_idle():
    clock = Clock()
    lifetime = lifetime_of(clock)
    clock.now += IDLE_S - 1
    assert lifetime.ending() is None
    lifetime.note_activity()
    clock.now += IDLE_S - 1
    assert lifetime.ending() is None
    clock.now += 1
    ending = lifetime.ending()
    assert isinstance(ending, Timeout)
    assert "nothing was said or typed for 300 s" in str(ending)


def test_session_is_not_idle_during_a_turn_nor_right_after_it():
    clock = Clock()
    lifetime = lifetime_of(clock)
    with lifetime.turn():
        assert lifetime.in_turn
        clock.now += 2 * IDLE_S
        assert lifetime.ending() is None
    assert not lifetime.in_turn
    clock.now += IDLE_S - 1
    assert lifetime.ending() is None
    clock.now += 1
    assert isinstance(lifetime.ending(), Timeout)


def test_session_ends_at_its_longest_length_also_during_a_turn():
    clock = Clock()
    lifetime = lifetime_of(clock)
    for _ in range(12):
        lifetime.note_activity()
        assert lifetime.ending() is None
        clock.now += IDLE_S
    with lifetime.turn():
        ending = lifetime.ending()
    assert isinstance(ending, Timeout)
    assert "longest length of 3600 s" in str(ending)


def test_both_clocks_start_when_the_session_is_open():
    clock = Clock()
    lifetime = lifetime_of(clock)
    clock.now += MAX_S
    lifetime.start()
    assert lifetime.ending() is None


async def test_session_ends_when_the_gateway_stops():
    draining = asyncio.Event()
    lifetime = lifetime_of(Clock(), draining)
    waiting = asyncio.create_task(lifetime.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    draining.set()
    async with asyncio.timeout(20):
        ending = await waiting
    assert isinstance(ending, NotReady)
    assert "the gateway is stopping" in str(ending)


async def test_waiting_ends_when_the_session_has_been_idle_for_long_enough():
    lifetime = Lifetime(0.05, MAX_S, asyncio.Event())
    lifetime.start()
    async with asyncio.timeout(20):
        with lifetime.turn():
            await asyncio.sleep(0.1)
        assert isinstance(await lifetime.wait(), Timeout)


def sessions_of(**settings: Any) -> Sessions:
    return Sessions(GatewaySettings(**settings))


def test_sessions_are_limited_in_total_and_by_client():
    sessions = sessions_of(max_sessions=3, max_sessions_per_client=1)
    with sessions.open("10.0.0.1"), sessions.open("10.0.0.2"):
        with pytest.raises(Busy, match=r"10\.0\.0\.1 holds all 1 sessions") as caught, sessions.open("10.0.0.1"):
            pass
        assert "GATEWAY_MAX_SESSIONS_PER_CLIENT" in caught.value.hint
        with sessions.open(None):  # counts only towards the total
            assert len(sessions) == 3
            with pytest.raises(Busy, match="all 3 sessions are taken") as caught, sessions.open("10.0.0.3"):
                pass
        assert caught.value.retry_after_s > 0
    with sessions.open("10.0.0.1"):
        assert len(sessions) == 1


async def test_draining_refuses_new_sessions_and_waits_for_the_open_ones():
    sessions = sessions_of()
    with sessions.open() as lifetime:
        sessions.drain()
        waiting = asyncio.create_task(sessions.wait_until_none())
        await asyncio.sleep(0)
        assert not waiting.done()
        assert isinstance(lifetime.ending(), NotReady)
        with pytest.raises(NotReady, match="stopping"), sessions.open():
            pass
    async with asyncio.timeout(20):
        await waiting


@pytest.mark.parametrize(
    ("failure", "outcome", "raised"),
    [(None, "ended", None), (Timeout("idle"), "Timeout", Timeout), (asyncio.CancelledError(), "left", BaseException)],
    ids=["ended", "failed", "left"],
)
def test_each_end_is_counted_by_its_outcome(failure, outcome, raised):
    before = metrics.SESSIONS_ENDED.labels(outcome)._value.get()
    caught: list[BaseException] = []
    try:
        with sessions_of().open():
            if failure is not None:
                raise failure
    except (OviyaError, asyncio.CancelledError) as error:
        caught.append(error)
    assert caught == ([failure] if raised else [])
    assert metrics.SESSIONS_ENDED.labels(outcome)._value.get() == before + 1
