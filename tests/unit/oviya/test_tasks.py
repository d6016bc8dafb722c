"""Cancelling tasks and waiting for their end."""

from __future__ import annotations

import asyncio

import pytest

from oviya.tasks import cancel_and_wait


async def test_the_task_has_cleaned_up_before_the_call_returns():
    steps: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await cancel_and_wait(task, None)
    assert task.cancelled()
    assert steps == ["cleaned up"]


async def test_an_exception_of_the_task_is_not_raised():
    async def fail() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("while ending")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await cancel_and_wait(task)
    assert isinstance(task.exception(), ValueError)


async def test_a_task_that_has_ended_is_no_fault():
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    await cancel_and_wait(task)
    assert not task.cancelled()


async def test_the_callers_own_cancellation_goes_through():
    release = asyncio.Event()

    async def linger() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await release.wait()

    lingering = asyncio.create_task(linger())
    await asyncio.sleep(0)
    caller = asyncio.create_task(cancel_and_wait(lingering))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    release.set()
    await lingering
