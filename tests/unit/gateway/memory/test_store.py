"""Where sessions are kept: SQLite, a real Redis, and stores that are away, slow, full or written by others."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import sqlite3
import stat
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from oviya.errors import OviyaError, PermissionDenied, Unavailable, Unsupported
from services.gateway.memory import access as keeping
from services.gateway.memory.hold import Hold, hash_token
from services.gateway.memory.keeper import Keeper
from services.gateway.memory.make_store import make_store
from services.gateway.memory.redis import RedisStore
from services.gateway.memory.sqlite import SqliteStore
from services.gateway.memory.store import (
    DAY_S,
    EMPTY_S,
    Appended,
    Claimed,
    KeptSession,
    KeptTurn,
    Limits,
    Pruned,
    Store,
    StoreError,
)
from tests.support.gateway_mesh import free_port

NOW = time.time()
HELLO, HI = KeptTurn(NOW, "user", "hello \u2764 'quoted'"), KeptTurn(NOW, "assistant", "Hi.")
SECRET, OTHER_SECRET = "a" * 64, "b" * 64
kinds = pytest.mark.parametrize("kind", ["sqlite", "redis"])


@asynccontextmanager
async def redis_server(port: int) -> AsyncIterator[str]:
    program = shutil.which("redis-server")
    assert program, "redis-server is missing: apt install redis-server"
    process = await asyncio.create_subprocess_exec(
        program, "--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1",
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"redis://127.0.0.1:{port}/0"
    try:
        async with asyncio.timeout(20):
            while True:
                store = RedisStore(url)
                try:
                    await store.open()
                    break
                except StoreError:
                    await asyncio.sleep(0.05)
                finally:
                    await store.close()
        yield url
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def place(kind: str, folder: Path) -> AsyncIterator[str]:
    """A setting of GATEWAY_SESSION_STORE."""
    if kind == "sqlite":
        yield str(folder / "sessions.db")
        return
    async with redis_server(free_port()) as url:
        yield url


def make(where: str, **limits: Any) -> Store:
    store = make_store(where, Limits(**limits))
    assert store is not None
    return store


async def claim(store: Store, name: str, secret: str = SECRET, since: float = math.inf) -> Claimed:
    claimed = await store.claim(name, secret, since=since, now=NOW)
    assert claimed is not None
    return claimed


async def texts(store: Store, name: str) -> list[str]:
    kept = await store.load(name, after=0)
    return [turn.text for turn in kept.turns] if kept else []


def turn(text: str, at: float = NOW) -> KeptTurn:
    return KeptTurn(at, "user", text)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


# --- The stores -------------------------------------------------------------------------------------------------------


@kinds
async def test_store_keeps_sessions_apart_and_over_a_restart(kind, tmp_path):
    async with place(kind, tmp_path) as where:
        async with opened(make(where)) as store:
            assert await store.load("a") is None
            a, b = await claim(store, "a"), await claim(store, "b")
            assert a.generation != b.generation
            assert await store.append("a", a, HELLO) == Appended("kept", 1)
            assert await store.append("b", b, HELLO) == Appended("kept", 1)
            assert await store.append("a", a, HI) == Appended("kept", 2)
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


def _pair(claimed: Claimed) -> tuple[str, str]:
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
        assert await store.append("a", old, turn("late")) == Appended("deleted")
        assert not await store.set_summary("a", old.generation, "late", 1)
        assert await store.load("a") is None
        new = await claim(another, "a")
        assert new.generation != old.generation
        assert await store.append("a", old, turn("late")) == Appended("deleted")
        assert not await store.set_summary("a", old.generation, "late", 1)
        assert await another.append("a", new, turn("after")) == Appended("kept", 1)
        assert await texts(store, "a") == ["after"]
        # also a name that somebody else has by now
        await another.delete("a", new, now=NOW)
        await claim(another, "a", OTHER_SECRET)
        assert await store.append("a", Claimed("0" * 24, SECRET), turn("late")) == Appended("taken")


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
        assert await store.append("a", a, HELLO) == Appended("kept", 1)
        assert await store.append("a", a, HI) == Appended("kept", 2)
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


@kinds
async def test_old_sessions_are_forgotten(kind, tmp_path):
    async with place(kind, tmp_path) as where, opened(make(where, keep_days=2)) as store:
        old, young, empty = await claim(store, "old"), await claim(store, "young"), await claim(store, "empty")
        await store.append("old", old, turn("x", NOW - 1.5 * DAY_S))
        await store.append("young", young, turn("x", NOW - 1.5 * DAY_S))
        await store.append("young", young, turn("y", NOW - 0.5 * DAY_S))
        await store.set_summary("old", old.generation, "x", 1)
        assert await store.prune(NOW) == Pruned()
        assert await store.prune(NOW + DAY_S) == Pruned(expired=1)
        assert await store.load("old") is None
        assert await texts(store, "young") == ["x", "y"]
        if kind == "sqlite":  # Redis lets it expire by itself
            await store.prune(NOW + EMPTY_S + 1)
            assert await store.load("empty") is None
        # an open session whose time was over goes on, with numbers that were not used
        assert await store.append("old", old, turn("again"), last=1) == Appended("kept", 2)
        assert empty.generation


@kinds
async def test_oldest_turns_and_sessions_make_room(kind, tmp_path):
    limits = {"max_turns": 3, "max_sessions": 2}
    async with place(kind, tmp_path) as where, opened(make(where, **limits)) as store:
        a = await claim(store, "a")
        for number in range(5):
            appended = await store.append("a", a, turn(str(number), NOW - 9))
            assert appended == Appended("kept", number + 1, dropped=int(number > 2))
        assert await texts(store, "a") == ["2", "3", "4"]
        kept = await store.load("a", after=3)
        assert kept is not None
        assert [t.number for t in kept.turns] == [4, 5]
        assert not (await store.append("b", await claim(store, "b"), turn("b", NOW - 8))).full
        c = await claim(store, "c")
        assert await store.prune(NOW) == Pruned()  # an empty session pushes nothing out
        assert (await store.append("c", c, turn("c", NOW - 7))).full
        assert await store.prune(NOW) == Pruned(dropped=1)
        assert [await texts(store, name) for name in "abc"] == [[], ["b"], ["c"]]
        assert await store.append("a", a, turn("5", NOW), last=5) == Appended(
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


async def test_sqlite_file_is_private_and_forgets_what_is_deleted(tmp_path):
    file = tmp_path / "sessions.db"
    async with opened(SqliteStore(file)) as store:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        a = await claim(store, "a secret name")
        await store.append("a secret name", a, turn("a secret word"))
        await store.delete("a secret name", a, now=NOW)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"a secret" not in content


async def test_sqlite_files_that_others_could_read_become_private(tmp_path):
    file = tmp_path / "sessions.db"
    async with opened(SqliteStore(file)) as store:
        await store.append("a", await claim(store, "a"), HELLO)
        for path in tmp_path.iterdir():
            path.chmod(0o644)
        async with opened(SqliteStore(file)):
            files = list(tmp_path.iterdir())
            assert len(files) == 3  # with -wal and -shm
            assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def write_version_1(file: Path) -> None:
    """What the first version of Oviya left behind."""
    with sqlite3.connect(file) as database:
        database.executescript(
            """
            CREATE TABLE sessions (id TEXT PRIMARY KEY, summary TEXT NOT NULL, summarized INTEGER NOT NULL);
            CREATE TABLE turns (number INTEGER PRIMARY KEY, session TEXT NOT NULL, at REAL NOT NULL,
                                role TEXT NOT NULL, text TEXT NOT NULL);
            CREATE INDEX turns_by_session ON turns (session, number);
            PRAGMA user_version = 1;
            """
        )
        rows = [("a", "one"), ("b", "x"), ("a", "two"), ("b", "y"), ("a", "three")]
        database.executemany("INSERT INTO turns (session, at, role, text) VALUES (?, ?, 'user', ?)",
                             [(name, NOW, text) for name, text in rows])  # fmt: skip
        database.execute("INSERT INTO sessions VALUES ('a', 'of two', 2)")
    database.close()


async def write_redis_version_1(url: str) -> None:
    redis = Redis.from_url(url)
    for text in ("one", "two", "three"):
        value = json.dumps({"at": NOW, "role": "user", "text": text})
        await redis.rpush("oviya:session:a:turns", value)  # pyright: ignore[reportGeneralTypeIssues]
    await redis.hset("oviya:session:a:about", mapping={"summary": "of two", "summarized": 2})  # pyright: ignore[reportGeneralTypeIssues]
    await redis.expire("oviya:session:a:turns", 1000)
    await redis.expire("oviya:session:a:about", 1000)
    await redis.aclose()


@kinds
async def test_sessions_of_the_first_version_are_kept_and_bound_when_they_are_resumed(kind, tmp_path):
    async with place(kind, tmp_path) as where:
        if kind == "sqlite":
            write_version_1(Path(where))
        else:
            await write_redis_version_1(where)
        async with opened(make(where, keep_days=30)) as store:
            kept = await store.load("a", after=0)
            assert kept is not None
            assert [(t.number, t.text) for t in kept.turns] == [(1, "one"), (2, "two"), (3, "three")]
            assert (kept.summary, kept.summarized, kept.secret, kept.generation) == ("of two", 2, "", "")
            assert (await store.append("a", Claimed("0" * 24, SECRET), turn("x"))).outcome == "taken"
            mine = await claim(store, "a", SECRET)
            assert mine.secret == SECRET
            assert (await claim(store, "a", OTHER_SECRET)) == mine
            assert await store.append("a", mine, turn("four")) == Appended("kept", 4)
            assert await texts(store, "a") == ["one", "two", "three", "four"]
        async with opened(make(where, keep_days=30)) as store:  # only once
            assert await texts(store, "a") == ["one", "two", "three", "four"]


async def test_file_of_another_version_is_left_alone(tmp_path):
    file = tmp_path / "sessions.db"
    file.write_bytes(b"this is no database " * 100)
    store = SqliteStore(file)
    with pytest.raises(StoreError, match="not a database"):
        await store.open()
    await store.close()
    assert file.read_bytes().startswith(b"this is no database")
    later = tmp_path / "later.db"
    with sqlite3.connect(later) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    store = SqliteStore(later)
    with pytest.raises(StoreError, match="another version"):
        await store.open()
    await store.close()


@pytest.mark.parametrize(
    "where", ["postgres://x:hunter2@y/z", "/no/such/folder/sessions.db", "redis://:hunter2@host:port/0"]
)
def test_setting_that_cannot_be_used_is_refused_and_its_password_is_not_repeated(where):
    with pytest.raises(OviyaError, match="GATEWAY_SESSION_STORE") as caught:
        make_store(where, Limits())
    assert "hunter2" not in str(caught.value)


# --- The keeper -------------------------------------------------------------------------------------------------------


class Listening:
    """A memory that notes what it is told."""

    def __init__(self, keeper: Keeper, name: str, token: str = "", *, fresh: bool = False) -> None:
        self.keeper = keeper
        self.numbers: dict[str, int] = {}
        self.merged: list[KeptSession] = []
        self.forgotten = 0
        self.hold = keeper.hold(self, name, token, fresh=fresh)

    def numbered(self, hold: Hold, uid: str, number: int) -> None:
        self.numbers[uid] = number

    def merge(self, hold: Hold, kept: KeptSession) -> None:
        self.merged.append(kept)

    def forget(self, hold: Hold) -> None:
        self.forgotten += 1
        self.hold = self.keeper.renew(hold)

    def say(self, text: str) -> None:
        self.keeper.add(self.hold, "user", text)


@asynccontextmanager
async def keeper_of(store: Any, **options: Any) -> AsyncIterator[Keeper]:
    keeper = Keeper(store, **options)
    await keeper.start()
    try:
        yield keeper
    finally:
        await keeper.close()


async def exported(keeper: Keeper, name: str, token: str) -> list[str]:
    return [turn.text for turn in (await keeper.export(name, token)).turns]


async def test_without_a_store_nothing_is_kept():
    async with keeper_of(None) as keeper:
        listening = Listening(keeper, "a")
        assert await keeper.open(listening.hold) == KeptSession()
        assert listening.hold.token == ""
        listening.say("hello")
        with pytest.raises(Unsupported, match="set GATEWAY_SESSION_STORE"):
            await keeper.export("a", "")
        with pytest.raises(Unsupported):
            await keeper.delete("a", "")


@kinds
async def test_only_the_token_opens_exports_and_deletes_a_session(kind, tmp_path):
    async with place(kind, tmp_path) as where, keeper_of(make(where)) as keeper, keeper_of(make(where)) as elsewhere:
        mine = Listening(keeper, "a")
        await keeper.open(mine.hold)
        token = mine.hold.token
        mine.say("hello")
        await keeper.flush(5)
        messages = set()
        for wrong in ("", "x", "A" * 43, token[:-1], token + "\n", hash_token(token)):
            for gateway in (keeper, elsewhere):
                with pytest.raises(PermissionDenied):
                    await gateway.open(Listening(gateway, "a", wrong).hold)
                for name in ("a", "unknown"):
                    with pytest.raises(PermissionDenied) as caught:
                        await gateway.export(name, wrong)
                    messages.add(str(caught.value))
                    with pytest.raises(PermissionDenied) as caught:
                        await gateway.delete(name, wrong)
                    messages.add(str(caught.value))
        assert len(messages) == 1  # nobody learns which names there are
        resumed = await elsewhere.open(Listening(elsewhere, "a", token).hold)
        assert [turn.text for turn in resumed.turns] == ["hello"]
        assert await exported(elsewhere, "a", token) == ["hello"]
        assert await elsewhere.delete("a", token) == 1
        assert await exported(keeper, "a", token) == []  # whose it was may ask again
        assert await keeper.delete("a", token) == 0
        with pytest.raises(PermissionDenied):
            await keeper.delete("a", "A" * 43)


@kinds
async def test_turn_after_a_deletion_by_another_gateway_begins_a_new_session(kind, tmp_path):
    async with place(kind, tmp_path) as where, keeper_of(make(where)) as keeper, keeper_of(make(where)) as elsewhere:
        talking = Listening(keeper, "a")
        await keeper.open(talking.hold)
        talking.say("before")
        await keeper.flush(5)
        assert await elsewhere.delete("a", talking.hold.token) == 1
        talking.say("late")
        await keeper.flush(5)
        assert talking.forgotten == 1
        assert await exported(keeper, "a", talking.hold.token) == []
        talking.say("after")
        assert await exported(keeper, "a", talking.hold.token) == ["after"]


async def test_name_that_the_gateway_made_needs_no_look_into_the_store(tmp_path):
    async with keeper_of(SqliteStore(tmp_path / "s.db")) as keeper:
        fresh = Listening(keeper, "made", fresh=True)
        await keeper.open(fresh.hold)
        fresh.say("hello")
        assert await exported(keeper, "made", fresh.hold.token) == ["hello"]


async def test_turns_wait_for_a_store_that_is_away_and_are_read_in_order(monkeypatch):
    monkeypatch.setattr(keeping, "RETRY_S", 0.05)
    monkeypatch.setattr(keeping, "READ_S", 0.3)
    port, told = free_port(), []
    keeper = Keeper(RedisStore(f"redis://127.0.0.1:{port}/0"), told.append)
    await keeper.start()
    try:
        listening = Listening(keeper, "a")
        with pytest.raises(Unavailable, match="cannot be read now"):
            await keeper.open(listening.hold)
        listening.say("one")  # makes nobody wait
        listening.say("two")
        with pytest.raises(Unavailable, match="cannot be read now"):
            await keeper.export("a", listening.hold.token)
        assert "cannot be reached" in told[-1]
        async with redis_server(port):
            async with asyncio.timeout(20):
                while told[-1]:
                    await asyncio.sleep(0.02)
            monkeypatch.setattr(keeping, "READ_S", 5.0)
            assert await exported(keeper, "a", listening.hold.token) == ["one", "two"]
            await keeper.close()
    finally:
        await keeper.close()


@kinds
async def test_session_that_was_opened_while_the_store_was_away_is_appended_to_what_is_kept(
    kind, tmp_path, monkeypatch
):
    monkeypatch.setattr(keeping, "RETRY_S", 0.05)
    async with place(kind, tmp_path) as where, keeper_of(make(where)) as keeper:
        first, other = Listening(keeper, "a"), Listening(keeper, "taken")
        for one in (first, other):
            await keeper.open(one.hold)
            one.say("kept")
        await keeper.flush(5)
        token = first.hold.token
        async with keeper_of(away := Away(make(where))) as later:
            again, stranger = Listening(later, "a", token), Listening(later, "taken")
            for one in (again, stranger):
                with pytest.raises(Unavailable):
                    await later.open(one.hold)
                one.say("meanwhile")
            assert again.hold.token == token
            away.gone = False
            await later.flush(10)
            assert [turn.text for turn in again.merged[0].turns] == ["kept"]
            assert again.numbers
            assert stranger.hold.gone == "taken"
            assert not stranger.merged
        assert await exported(keeper, "a", token) == ["kept", "meanwhile"]
        assert await exported(keeper, "taken", other.hold.token) == ["kept"]


@kinds
async def test_deletion_counts_for_what_waits_at_a_gateway_that_cannot_reach_the_store(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "RETRY_S", 0.05)
    async with place(kind, tmp_path) as where, keeper_of(make(where)) as keeper:
        first = Listening(keeper, "a")
        await keeper.open(first.hold)
        first.say("kept")
        await keeper.flush(5)
        async with keeper_of(away := Away(make(where))) as later:
            again = Listening(later, "a", first.hold.token)
            with pytest.raises(Unavailable):
                await later.open(again.hold)
            again.say("waits")
            assert await keeper.delete("a", again.hold.token) == 1
            away.gone = False
            await later.flush(10)
            assert again.forgotten == 1
            again.say("after")
            assert await exported(later, "a", again.hold.token) == ["after"]


class Away:
    """A store that fails at everything while it is `gone`, and breaks in an unforeseen way at a turn named "boom"."""

    def __init__(self, store: Store, gone: bool = True) -> None:
        self._store, self.gone = store, gone
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            if self.gone and name != "close":
                raise StoreError("gone")
            if any(isinstance(argument, KeptTurn) and argument.text == "boom" for argument in arguments):
                raise RuntimeError("nobody thought of this")
            return await getattr(self._store, name)(*arguments, **options)

        return call


async def test_unforeseen_failure_of_a_write_loses_that_write_alone(tmp_path):
    told: list[str] = []
    lost = counted("oviya_gateway_store_lost_total")
    failures = counted("oviya_loop_failures_total", loop="store-writer")
    async with keeper_of(Away(SqliteStore(tmp_path / "s.db"), gone=False), tell=told.append) as keeper:
        listening = Listening(keeper, "a")
        await keeper.open(listening.hold)
        for text in ("one", "boom", "two"):
            listening.say(text)
        assert await keeper.flush(20) == 0
        assert await exported(keeper, "a", listening.hold.token) == ["one", "two"]
        assert counted("oviya_gateway_store_lost_total") == lost + 1
        assert counted("oviya_loop_failures_total", loop="store-writer") == failures + 1
        assert any("store-writer" in problem for problem in told)
        assert told[-1] == ""


async def test_old_sessions_are_forgotten_while_the_gateway_runs(tmp_path):
    now, pruned = NOW, asyncio.Event()
    naps: asyncio.Queue[float] = asyncio.Queue()

    async def sleep(length_s: float) -> None:
        naps.put_nowait(length_s)
        await pruned.wait()
        pruned.clear()

    dropped = counted("oviya_gateway_store_dropped_total", what="expired")
    store = SqliteStore(tmp_path / "s.db", Limits(keep_days=2))
    async with keeper_of(store, clock=lambda: now, sleep=sleep) as keeper:
        listening = Listening(keeper, "a")
        await keeper.open(listening.hold)
        listening.say("hello")
        await keeper.flush(5)
        assert await naps.get() == 3600.0
        for days, left in ((1.0, ["hello"]), (2.5, [])):
            now = NOW + days * DAY_S
            pruned.set()
            await naps.get()  # the next pause: it has been done
            assert await texts(store, "a") == left
    assert counted("oviya_gateway_store_dropped_total", what="expired") == dropped + 1


async def test_full_store_drops_the_oldest_session_and_counts_it(tmp_path):
    dropped = counted("oviya_gateway_store_dropped_total", what="sessions")
    store = SqliteStore(tmp_path / "s.db", Limits(max_sessions=2))
    async with keeper_of(store) as keeper:
        for name in "abc":
            one = Listening(keeper, name)
            await keeper.open(one.hold)
            one.say(name)
            await keeper.flush(5)
        assert [await texts(store, name) for name in "abc"] == [[], ["b"], ["c"]]
    assert counted("oviya_gateway_store_dropped_total", what="sessions") == dropped + 1


async def test_what_never_reaches_the_store_is_counted():
    before = counted("oviya_gateway_store_lost_total")
    keeper = Keeper(RedisStore(f"redis://127.0.0.1:{free_port()}/0"))
    await keeper.start()
    listening = Listening(keeper, "a", fresh=True)
    for text in ("one", "two", "three"):
        listening.say(text)
    assert await keeper.flush(0.05) == 3
    await keeper.close(within_s=0.2)
    assert counted("oviya_gateway_store_lost_total") == before + 3
