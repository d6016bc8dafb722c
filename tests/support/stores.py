"""Stores of sessions for tests: SQLite, a real Redis, and one that fails on demand."""

from __future__ import annotations

import asyncio
import math
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.gateway.memory.make_store import make_store
from services.gateway.memory.redis import RedisStore
from services.gateway.memory.store import Claim, KeptTurn, Store, StoreError, StoreLimits
from tests.support.ports import free_port

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
    store = make_store(where, StoreLimits(**limits))
    assert store is not None
    return store


async def claim(store: Store, name: str, secret: str = SECRET, since: float = math.inf) -> Claim:
    claimed = await store.claim(name, secret, since=since, now=NOW)
    assert claimed is not None
    return claimed


async def texts(store: Store, name: str) -> list[str]:
    kept = await store.load(name, after=0)
    return [turn.text for turn in kept.turns] if kept else []


def turn(text: str, at: float = NOW) -> KeptTurn:
    return KeptTurn(at, "user", text)


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
