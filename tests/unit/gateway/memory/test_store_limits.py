"""What a store drops: old sessions, and what exceeds the limits."""

from __future__ import annotations

from services.gateway.memory.store import DAY_S, EMPTY_S, AppendResult, PruneResult
from tests.support.stores import (
    NOW,
    claim,
    kinds,
    make,
    opened,
    place,
    texts,
    turn,
)


@kinds
async def test_old_sessions_are_forgotten(kind, tmp_path):
    async with place(kind, tmp_path) as where, opened(make(where, keep_days=2)) as store:
        old, young, empty = await claim(store, "old"), await claim(store, "young"), await claim(store, "empty")
        await store.append("old", old, turn("x", NOW - 1.5 * DAY_S))
        await store.append("young", young, turn("x", NOW - 1.5 * DAY_S))
        await store.append("young", young, turn("y", NOW - 0.5 * DAY_S))
        await store.set_summary("old", old.generation, "x", 1)
        assert await store.prune(NOW) == PruneResult()
        assert await store.prune(NOW + DAY_S) == PruneResult(expired=1)
        assert await store.load("old") is None
        assert await texts(store, "young") == ["x", "y"]
        if kind == "sqlite":  # Redis lets it expire by itself
            await store.prune(NOW + EMPTY_S + 1)
            assert await store.load("empty") is None
        # an open session whose time was over goes on, with numbers that were not used
        assert await store.append("old", old, turn("again"), last=1) == AppendResult("kept", 2)
        assert empty.generation


@kinds
async def test_oldest_turns_and_sessions_make_room(kind, tmp_path):
    limits = {"max_turns": 3, "max_sessions": 2}
    async with place(kind, tmp_path) as where, opened(make(where, **limits)) as store:
        a = await claim(store, "a")
        for number in range(5):
            appended = await store.append("a", a, turn(str(number), NOW - 9))
            assert appended == AppendResult("kept", number + 1, dropped=int(number > 2))
        assert await texts(store, "a") == ["2", "3", "4"]
        kept = await store.load("a", after=3)
        assert kept is not None
        assert [t.number for t in kept.turns] == [4, 5]
        assert not (await store.append("b", await claim(store, "b"), turn("b", NOW - 8))).full
        c = await claim(store, "c")
        assert await store.prune(NOW) == PruneResult()  # an empty session pushes nothing out
        assert (await store.append("c", c, turn("c", NOW - 7))).full
        assert await store.prune(NOW) == PruneResult(dropped=1)
        assert [await texts(store, name) for name in "abc"] == [[], ["b"], ["c"]]
        assert await store.append("a", a, turn("5", NOW), last=5) == AppendResult(
            "kept", 6, full=True
        )  # it was not deleted


@kinds
async def test_bytes_of_all_sessions_are_limited(kind, tmp_path):
    async with place(kind, tmp_path) as where, opened(make(where, max_bytes=100_000, max_turns=4)) as store:
        for name in "abcd":
            one = await claim(store, name)
            for _ in range(8):  # of which 4 are kept: 40,000 bytes
                full = (await store.append(name, one, turn("é" * 5000, NOW + ord(name)))).full
            if full:
                await store.prune(NOW)
        assert [bool(await texts(store, name)) for name in "abcd"] == [False, False, True, True]
        await store.delete("d", one, now=NOW)
        other = await claim(store, "e")
        assert not (await store.append("e", other, turn("x" * 30_000))).full
