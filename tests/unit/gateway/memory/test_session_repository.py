"""Sessions of one gateway: opened, exported, deleted and limited."""

from __future__ import annotations

import asyncio

import pytest

from oviya.errors import PermissionDenied, Unsupported
from services.gateway.memory.session_handle import hash_token
from services.gateway.memory.sqlite import SqliteStore
from services.gateway.memory.store import (
    DAY_S,
    KeptSession,
    StoreLimits,
)
from tests.support.metrics import metric
from tests.support.open_sessions import Listening, exported, repository_of
from tests.support.stores import (
    NOW,
    kinds,
    make,
    place,
    texts,
)


async def test_without_a_store_nothing_is_kept():
    async with repository_of(None) as repository:
        listening = Listening(repository, "a")
        assert await repository.open(listening.handle) == KeptSession()
        assert listening.handle.token == ""
        listening.say("hello")
        with pytest.raises(Unsupported, match="set GATEWAY_SESSION_STORE"):
            await repository.export("a", "")
        with pytest.raises(Unsupported):
            await repository.delete("a", "")


@kinds
async def test_only_the_token_opens_exports_and_deletes_a_session(kind, tmp_path):
    async with (
        place(kind, tmp_path) as where,
        repository_of(make(where)) as repository,
        repository_of(make(where)) as elsewhere,
    ):
        mine = Listening(repository, "a")
        await repository.open(mine.handle)
        token = mine.handle.token
        mine.say("hello")
        await repository.flush(5)
        messages = set()
        for wrong in ("", "x", "A" * 43, token[:-1], token + "\n", hash_token(token)):
            for gateway in (repository, elsewhere):
                with pytest.raises(PermissionDenied):
                    await gateway.open(Listening(gateway, "a", wrong).handle)
                for name in ("a", "unknown"):
                    with pytest.raises(PermissionDenied) as caught:
                        await gateway.export(name, wrong)
                    messages.add(str(caught.value))
                    with pytest.raises(PermissionDenied) as caught:
                        await gateway.delete(name, wrong)
                    messages.add(str(caught.value))
        assert len(messages) == 1  # nobody learns which names there are
        resumed = await elsewhere.open(Listening(elsewhere, "a", token).handle)
        assert [turn.text for turn in resumed.turns] == ["hello"]
        assert await exported(elsewhere, "a", token) == ["hello"]
        assert await elsewhere.delete("a", token) == 1
        assert await exported(repository, "a", token) == []  # whose it was may ask again
        assert await repository.delete("a", token) == 0
        with pytest.raises(PermissionDenied):
            await repository.delete("a", "A" * 43)


@kinds
async def test_turn_after_a_deletion_by_another_gateway_begins_a_new_session(kind, tmp_path):
    async with (
        place(kind, tmp_path) as where,
        repository_of(make(where)) as repository,
        repository_of(make(where)) as elsewhere,
    ):
        talking = Listening(repository, "a")
        await repository.open(talking.handle)
        talking.say("before")
        await repository.flush(5)
        assert await elsewhere.delete("a", talking.handle.token) == 1
        talking.say("late")
        await repository.flush(5)
        assert talking.forgotten == 1
        assert await exported(repository, "a", talking.handle.token) == []
        talking.say("after")
        assert await exported(repository, "a", talking.handle.token) == ["after"]


async def test_name_that_the_gateway_made_needs_no_look_into_the_store(tmp_path):
    async with repository_of(SqliteStore(tmp_path / "s.db")) as repository:
        fresh = Listening(repository, "made", fresh=True)
        await repository.open(fresh.handle)
        fresh.say("hello")
        assert await exported(repository, "made", fresh.handle.token) == ["hello"]


async def test_old_sessions_are_forgotten_while_the_gateway_runs(tmp_path):
    now, pruned = NOW, asyncio.Event()
    naps: asyncio.Queue[float] = asyncio.Queue()

    async def sleep(length_s: float) -> None:
        naps.put_nowait(length_s)
        await pruned.wait()
        pruned.clear()

    dropped = metric("gateway_store_dropped_total", what="expired")
    store = SqliteStore(tmp_path / "s.db", StoreLimits(keep_days=2))
    async with repository_of(store, clock=lambda: now, sleep=sleep) as repository:
        listening = Listening(repository, "a")
        await repository.open(listening.handle)
        listening.say("hello")
        await repository.flush(5)
        assert await naps.get() == 3600.0
        for days, left in ((1.0, ["hello"]), (2.5, [])):
            now = NOW + days * DAY_S
            pruned.set()
            await naps.get()  # the next pause: it has been done
            assert await texts(store, "a") == left
    assert metric("gateway_store_dropped_total", what="expired") == dropped + 1


async def test_full_store_drops_the_oldest_session_and_counts_it(tmp_path):
    dropped = metric("gateway_store_dropped_total", what="sessions")
    store = SqliteStore(tmp_path / "s.db", StoreLimits(max_sessions=2))
    async with repository_of(store) as repository:
        for name in "abc":
            one = Listening(repository, name)
            await repository.open(one.handle)
            one.say(name)
            await repository.flush(5)
        assert [await texts(store, name) for name in "abc"] == [[], ["b"], ["c"]]
    assert metric("gateway_store_dropped_total", what="sessions") == dropped + 1
