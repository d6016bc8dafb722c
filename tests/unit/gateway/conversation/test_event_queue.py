"""Events on their way from a job to the caller."""

from __future__ import annotations

import asyncio

import pytest

from oviya.errors import Busy, InvalidInput, OviyaError, Timeout
from services.gateway.conversation.event_queue import EventQueue, events_of, first_failure


async def test_events_come_before_the_failure():
    async def job(events: EventQueue[int]) -> None:
        await events.put(1)
        await events.put(2)
        raise Busy("full", retry_after_s=1)

    events = events_of(job, 1.0)
    assert [await anext(events), await anext(events)] == [1, 2]
    with pytest.raises(Busy):
        await anext(events)


async def test_job_of_a_reader_who_leaves_is_cancelled():
    cancelled = asyncio.Event()

    async def job(events: EventQueue[int]) -> None:
        await events.put(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    events = events_of(job, 1.0)
    assert await anext(events) == 1
    await events.aclose()
    assert cancelled.is_set()


@pytest.mark.virtual_time
async def test_queue_that_nobody_reads_fails_its_writer_and_then_at_once():
    events: EventQueue[int] = EventQueue(0.05, capacity=2)
    await events.put(1)
    await events.put(2)
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(Timeout):
        await events.put(3)
    assert loop.time() - started == pytest.approx(0.05)
    started = loop.time()
    with pytest.raises(Timeout):
        await events.put(3)
    assert loop.time() == started


def test_typed_failures_are_found_in_groups():
    typed = InvalidInput("text", "", "must not be empty")
    group = BaseExceptionGroup("", [ValueError(), ExceptionGroup("", [KeyError(), typed])])
    assert first_failure(group) is typed
    assert isinstance(first_failure(ExceptionGroup("", [KeyError()])), KeyError)
    assert isinstance(typed, OviyaError)
