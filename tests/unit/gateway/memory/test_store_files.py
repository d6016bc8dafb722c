"""Files of the SQLite store, and what earlier and later versions of Oviya wrote."""

from __future__ import annotations

import json
import sqlite3
import stat
from pathlib import Path

import pytest
from redis.asyncio import Redis

from services.gateway.memory.sqlite import SqliteStore
from services.gateway.memory.store import AppendResult, Claim, StoreError
from tests.support.stores import (
    HELLO,
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
            assert (await store.append("a", Claim("0" * 24, SECRET), turn("x"))).outcome == "taken"
            mine = await claim(store, "a", SECRET)
            assert mine.secret == SECRET
            assert (await claim(store, "a", OTHER_SECRET)) == mine
            assert await store.append("a", mine, turn("four")) == AppendResult("kept", 4)
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
