"""Stores that cannot be reached: what waits, and what is lost."""

from __future__ import annotations

import asyncio

import pytest

from oviya.errors import Unavailable
from services.gateway.memory import store_queue
from services.gateway.memory.redis import RedisStore
from services.gateway.memory.session_repository import SessionRepository
from services.gateway.memory.sqlite import SqliteStore
from tests.support.metrics import metric
from tests.support.open_sessions import Listening, exported, repository_of
from tests.support.ports import free_port
from tests.support.stores import (
    Away,
    kinds,
    make,
    place,
    redis_server,
)


async def test_turns_wait_for_a_store_that_is_away_and_are_read_in_order(monkeypatch):
    monkeypatch.setattr(store_queue, "RETRY_S", 0.05)
    monkeypatch.setattr(store_queue, "READ_S", 0.3)
    port, told = free_port(), []
    repository = SessionRepository(RedisStore(f"redis://127.0.0.1:{port}/0"), told.append)
    await repository.start()
    try:
        listening = Listening(repository, "a")
        with pytest.raises(Unavailable, match="cannot be read now"):
            await repository.open(listening.handle)
        listening.say("one")  # makes nobody wait
        listening.say("two")
        with pytest.raises(Unavailable, match="cannot be read now"):
            await repository.export("a", listening.handle.token)
        assert "cannot be reached" in told[-1]
        async with redis_server(port):
            async with asyncio.timeout(20):
                while told[-1]:
                    await asyncio.sleep(0.02)
            monkeypatch.setattr(store_queue, "READ_S", 5.0)
            assert await exported(repository, "a", listening.handle.token) == ["one", "two"]
            await repository.close()
    finally:
        await repository.close()


@kinds
async def test_session_that_was_opened_while_the_store_was_away_is_appended_to_what_is_kept(
    kind, tmp_path, monkeypatch
):
    monkeypatch.setattr(store_queue, "RETRY_S", 0.05)
    async with place(kind, tmp_path) as where, repository_of(make(where)) as repository:
        first, other = Listening(repository, "a"), Listening(repository, "taken")
        for one in (first, other):
            await repository.open(one.handle)
            one.say("kept")
        await repository.flush(5)
        token = first.handle.token
        async with repository_of(away := Away(make(where))) as later:
            again, stranger = Listening(later, "a", token), Listening(later, "taken")
            for one in (again, stranger):
                with pytest.raises(Unavailable):
                    await later.open(one.handle)
                one.say("meanwhile")
            assert again.handle.token == token
            away.gone = False
            await later.flush(10)
            assert [turn.text for turn in again.merged[0].turns] == ["kept"]
            assert again.numbers
            assert stranger.handle.gone == "taken"
            assert not stranger.merged
        assert await exported(repository, "a", token) == ["kept", "meanwhile"]
        assert await exported(repository, "taken", other.handle.token) == ["kept"]


@kinds
async def test_deletion_counts_for_what_waits_at_a_gateway_that_cannot_reach_the_store(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(store_queue, "RETRY_S", 0.05)
    async with place(kind, tmp_path) as where, repository_of(make(where)) as repository:
        first = Listening(repository, "a")
        await repository.open(first.handle)
        first.say("kept")
        await repository.flush(5)
        async with repository_of(away := Away(make(where))) as later:
            again = Listening(later, "a", first.handle.token)
            with pytest.raises(Unavailable):
                await later.open(again.handle)
            again.say("waits")
            assert await repository.delete("a", again.handle.token) == 1
            away.gone = False
            await later.flush(10)
            assert again.forgotten == 1
            again.say("after")
            assert await exported(later, "a", again.handle.token) == ["after"]


async def test_unforeseen_failure_of_a_write_loses_that_write_alone(tmp_path):
    told: list[str] = []
    lost = metric("gateway_store_lost_total")
    failures = metric("loop_failures_total", loop="store-writer")
    async with repository_of(Away(SqliteStore(tmp_path / "s.db"), gone=False), report=told.append) as repository:
        listening = Listening(repository, "a")
        await repository.open(listening.handle)
        for text in ("one", "boom", "two"):
            listening.say(text)
        assert await repository.flush(20) == 0
        assert await exported(repository, "a", listening.handle.token) == ["one", "two"]
        assert metric("gateway_store_lost_total") == lost + 1
        assert metric("loop_failures_total", loop="store-writer") == failures + 1
        assert any("store-writer" in problem for problem in told)
        assert told[-1] == ""


async def test_what_never_reaches_the_store_is_counted():
    before = metric("gateway_store_lost_total")
    repository = SessionRepository(RedisStore(f"redis://127.0.0.1:{free_port()}/0"))
    await repository.start()
    listening = Listening(repository, "a", fresh=True)
    for text in ("one", "two", "three"):
        listening.say(text)
    assert await repository.flush(0.05) == 3
    await repository.close(within_s=0.2)
    assert metric("gateway_store_lost_total") == before + 3
