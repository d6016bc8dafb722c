"""What every store does, in SQLite and in a real Redis."""

from __future__ import annotations

import asyncio

import pytest

from oviya.errors import OviyaError
from services.gateway.memory.make_store import make_store
from services.gateway.memory.store import AppendResult, Claim, Store, StoreLimits
from tests.support.stores import (
    HELLO,
    HI,
    NOW,
    OTHER_SECRET,
    SECRET,
    claim,
    kinds,
    make,
    opened,
    place,
    texts,
    turn,
)


@kinds
async def test_store_keeps_sessions_apart_and_over_a_restart(kind, tmp_path):
    async with place(kind, tmp_path) as where:
        async with opened(make(where)) as store:
            assert await store.load("a") is None
            a, b = await claim(store, "a"), await claim(store, "b")
            assert a.generation != b.generation
            assert await store.append("a", a, HELLO) == AppendResult("kept", 1)
            assert await store.append("b", b, HELLO) == AppendResult("kept", 1)
            assert await store.append("a", a, HI) == AppendResult("kept", 2)
            assert await store.set_summary("a", a.generation, "first", 1)
        async with opened(make(where)) as again:
            kept = await again.load("a", after=0)
            assert kept is not None
            assert [(t.number, t.uid, t.at, t.role, t.text) for t in kept.turns] == [
                (1, HELLO.uid, NOW, "user", HELLO.text), (2, HI.uid, NOW, "assistant", "Hi."),
            ]  # fmt: skip
            assert (kept.summary, kept.summarized, kept.generation, kept.secret) == ("first", 1, *_pair(a))
            uncovered = await again.load("a")
            assert uncovered is not None
            assert [t.text for t in uncovered.turns] == ["Hi."]
            page = await again.load("a", after=0, limit=1)
            assert page is not None
            assert [t.text for t in page.turns] == [HELLO.text]
            assert await again.delete("a", a, now=NOW) == 2
            assert await again.delete("a", a, now=NOW) is None
            assert await again.load("a") is None
            assert await texts(again, "b") == [HELLO.text]


def _pair(claimed: Claim) -> tuple[str, str]:
    return claimed.generation, claimed.secret


@kinds
async def test_name_is_bound_to_the_first_secret(kind, tmp_path):
    async with place(kind, tmp_path) as where, opened(make(where)) as store, opened(make(where)) as another:
        mine = await claim(store, "a", SECRET)
        assert await claim(another, "a", OTHER_SECRET) == mine
        assert mine.secret == SECRET


@kinds
async def test_write_of_a_deleted_generation_is_refused(kind, tmp_path):
    async with place(kind, tmp_path) as where, opened(make(where)) as store, opened(make(where)) as another:
        old = await claim(store, "a")
        await store.append("a", old, turn("before"))
        assert await another.delete("a", old, now=NOW) == 1
        assert await store.append("a", old, turn("late")) == AppendResult("deleted")
        assert not await store.set_summary("a", old.generation, "late", 1)
        assert await store.load("a") is None
        new = await claim(another, "a")
        assert new.generation != old.generation
        assert await store.append("a", old, turn("late")) == AppendResult("deleted")
        assert not await store.set_summary("a", old.generation, "late", 1)
        assert await another.append("a", new, turn("after")) == AppendResult("kept", 1)
        assert await texts(store, "a") == ["after"]
        # also a name that somebody else has by now
        await another.delete("a", new, now=NOW)
        await claim(another, "a", OTHER_SECRET)
        assert await store.append("a", Claim("0" * 24, SECRET), turn("late")) == AppendResult("taken")


@kinds
async def test_what_was_said_before_a_deletion_cannot_claim_the_name_after_it(kind, tmp_path):
    async with place(kind, tmp_path) as where, opened(make(where)) as store:
        old = await claim(store, "a")
        await store.delete("a", old, now=NOW)
        assert await store.claim("a", SECRET, since=NOW - 1, now=NOW) is None
        assert await store.claim("a", SECRET, since=NOW + 1, now=NOW) is not None
        assert await store.deleted("a", SECRET)
        assert not await store.deleted("a", OTHER_SECRET)
        assert not await store.deleted("b", SECRET)


@kinds
async def test_turn_that_is_tried_twice_is_kept_once(kind, tmp_path):
    async with place(kind, tmp_path) as where, opened(make(where)) as store:
        a = await claim(store, "a")
        assert await store.append("a", a, HELLO) == AppendResult("kept", 1)
        assert await store.append("a", a, HI) == AppendResult("kept", 2)
        assert (await store.append("a", a, HELLO)).number == 1
        assert await texts(store, "a") == [HELLO.text, HI.text]


@kinds
async def test_summary_replaces_only_one_that_covers_less(kind, tmp_path):
    async with place(kind, tmp_path) as where, opened(make(where)) as store:
        a = await claim(store, "a")
        for number in range(6):
            await store.append("a", a, turn(str(number)))
        assert await store.set_summary("a", a.generation, "up to 4", 4)
        assert not await store.set_summary("a", a.generation, "up to 2", 2)
        assert not await store.set_summary("a", a.generation, "another up to 4", 4)
        kept = await store.load("a")
        assert kept is not None
        assert (kept.summary, kept.summarized, [t.number for t in kept.turns]) == ("up to 4", 4, [5, 6])


@kinds
async def test_two_stores_that_write_at_once_lose_no_turn(kind, tmp_path):
    async with place(kind, tmp_path) as where, opened(make(where)) as one, opened(make(where)) as two:
        a = await claim(one, "a")

        async def say(store: Store, who: str) -> list[int]:
            return [(await store.append("a", a, turn(f"{who}{n}"))).number for n in range(20)]

        numbers = await asyncio.gather(say(one, "one"), say(two, "two"))
        assert sorted([*numbers[0], *numbers[1]]) == list(range(1, 41))
        assert sorted(await texts(one, "a")) == sorted(f"{who}{n}" for who in ("one", "two") for n in range(20))


@pytest.mark.parametrize(
    "where", ["postgres://x:hunter2@y/z", "/no/such/folder/sessions.db", "redis://:hunter2@host:port/0"]
)
def test_setting_that_cannot_be_used_is_refused_and_its_password_is_not_repeated(where):
    with pytest.raises(OviyaError, match="GATEWAY_SESSION_STORE") as caught:
        make_store(where, StoreLimits())
    assert "hunter2" not in str(caught.value)
