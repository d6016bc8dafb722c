"""Where sessions are kept: SQLite, a real Redis, and stores that are away."""

from __future__ import annotations

import asyncio
import shutil
import stat
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from oviya.errors import OviyaError, Unavailable, Unsupported
from services.gateway.store import Keeper, KeptSession, KeptTurn
from services.gateway.store import keeper as keeping
from services.gateway.store.base import DAY_S, Store, StoreError
from services.gateway.store.keeper import make_store
from services.gateway.store.redis import RedisStore
from services.gateway.store.sqlite import SqliteStore
from tests.gateway_mesh import free_port

HELLO, HI = KeptTurn(time.time(), "user", "hello \u2764 'quoted'"), KeptTurn(time.time(), "assistant", "Hi.")


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
        async with asyncio.timeout(10):
            while True:
                store = RedisStore(url, keep_days=1)
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


def make(where: str, keep_days: float = 1.0) -> Store:
    store = make_store(where, keep_days=keep_days)
    assert store is not None
    return store


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_store_keeps_sessions_apart_and_over_a_restart(kind, tmp_path):
    async with place(kind, tmp_path) as where:
        async with opened(make(where)) as store:
            assert await store.load("a") == KeptSession()
            await store.append("a", HELLO)
            await store.append("b", HELLO)
            await store.append("a", HI)
            await store.set_summary("a", "first", 1)
            await store.set_summary("a", "both", 2)
        async with opened(make(where)) as again:
            assert await again.load("a") == KeptSession((HELLO, HI), "both", 2)
            assert await again.load("b") == KeptSession((HELLO,))
            assert await again.delete("a") == 2
            assert await again.delete("a") == 0
            assert await again.load("a") == KeptSession()
            assert (await again.load("b")).turns == (HELLO,)


async def test_sqlite_file_is_private_and_forgets_what_is_deleted(tmp_path):
    file = tmp_path / "sessions.db"
    async with opened(SqliteStore(file, keep_days=0)) as store:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await store.append("a", KeptTurn(1.0, "user", "a secret word"))
        await store.delete("a")
    assert b"a secret word" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


async def test_old_sessions_are_forgotten(tmp_path):
    file, now = tmp_path / "sessions.db", time.time()
    async with opened(SqliteStore(file, keep_days=0)) as store:
        await store.append("old", KeptTurn(now - 3 * DAY_S, "user", "x"))
        await store.append("young", KeptTurn(now - 3 * DAY_S, "user", "x"))
        await store.append("young", KeptTurn(now - DAY_S, "user", "y"))
        await store.set_summary("old", "x", 1)
    async with opened(SqliteStore(file, keep_days=2)) as store:
        assert await store.load("old") == KeptSession()
        assert len((await store.load("young")).turns) == 2


async def test_file_of_another_version_is_left_alone(tmp_path):
    file = tmp_path / "sessions.db"
    file.write_bytes(b"this is no database " * 100)
    store = SqliteStore(file, keep_days=0)
    with pytest.raises(StoreError, match="not a database"):
        await store.open()
    await store.close()
    assert file.read_bytes().startswith(b"this is no database")


@pytest.mark.parametrize("where", ["postgres://x/y", "/no/such/folder/sessions.db", "redis://host:port/0"])
def test_setting_that_cannot_be_used_is_refused(where):
    with pytest.raises(OviyaError, match="GATEWAY_SESSION_STORE"):
        make_store(where, keep_days=1)


async def test_without_a_store_nothing_is_kept():
    keeper = Keeper(make_store("", keep_days=1))
    await keeper.start()
    keeper.add("a", "user", "hello")
    with pytest.raises(Unsupported, match="set GATEWAY_SESSION_STORE"):
        await keeper.export("a")
    with pytest.raises(Unsupported):
        await keeper.delete("a")
    await keeper.close()


async def test_turns_wait_for_a_store_that_is_away_and_are_read_in_order(monkeypatch):
    monkeypatch.setattr(keeping, "RETRY_S", 0.05)
    monkeypatch.setattr(keeping, "READ_S", 0.3)
    port, told = free_port(), []
    keeper = Keeper(RedisStore(f"redis://127.0.0.1:{port}/0", keep_days=1), told.append)
    await keeper.start()
    try:
        keeper.add("a", "user", "one")  # makes nobody wait
        keeper.add("a", "assistant", "two")
        with pytest.raises(Unavailable, match="cannot be read now"):
            await keeper.export("a")
        assert "cannot be reached" in told[-1]
        async with redis_server(port):
            async with asyncio.timeout(10):
                while told[-1]:
                    await asyncio.sleep(0.02)
            assert [turn.text for turn in (await keeper.export("a")).turns] == ["one", "two"]
            await keeper.close()
    finally:
        await keeper.close()


async def test_what_never_reaches_the_store_is_counted(monkeypatch):
    monkeypatch.setattr(keeping, "CLOSE_S", 0.2)
    before = REGISTRY.get_sample_value("oviya_gateway_store_lost_total") or 0.0
    keeper = Keeper(RedisStore(f"redis://127.0.0.1:{free_port()}/0", keep_days=1))
    await keeper.start()
    for text in ("one", "two", "three"):
        keeper.add("a", "user", text)
    await keeper.close()
    assert REGISTRY.get_sample_value("oviya_gateway_store_lost_total") == before + 3
