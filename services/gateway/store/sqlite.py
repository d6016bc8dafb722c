"""Sessions in a SQLite file: nothing to install, for one gateway."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

from services.gateway.store.base import DAY_S, KeptSession, KeptTurn, Role, StoreError

T = TypeVar("T")

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, summary TEXT NOT NULL, summarized INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS turns (
    number INTEGER PRIMARY KEY, session TEXT NOT NULL, at REAL NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS turns_by_session ON turns (session, number);
"""
_TURNS = "SELECT at, role, text FROM turns WHERE session = ? ORDER BY number"
_UPSERT_SUMMARY = """
INSERT INTO sessions VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET summary = excluded.summary, summarized = excluded.summarized
"""
_EXPIRED = "SELECT session FROM turns GROUP BY session HAVING max(at) < ?"
PRIVATE = 0o600


class SqliteStore:
    """A store in one file, on a thread of its own.

    Args:
        path: the file; it is made where it is missing, readable by its owner alone.
        keep_days: days after a session's last turn at which it is forgotten, when the file is opened; 0: never.
    """

    def __init__(self, path: Path, *, keep_days: float) -> None:
        self._path = path
        self._keep_days = keep_days
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="sessions")
        self._database: sqlite3.Connection | None = None

    async def open(self) -> None:
        await self._run(self._open)

    async def load(self, session_id: str) -> KeptSession:
        def load() -> KeptSession:
            turns = tuple(KeptTurn(at, cast(Role, role), text) for at, role, text in self._do(_TURNS, session_id))
            row = self._do("SELECT summary, summarized FROM sessions WHERE id = ?", session_id).fetchone()
            summary, summarized = row or ("", 0)
            return KeptSession(turns, summary, summarized)

        return await self._run(load)

    async def append(self, session_id: str, turn: KeptTurn) -> None:
        insert = "INSERT INTO turns (session, at, role, text) VALUES (?, ?, ?, ?)"
        await self._run(lambda: self._do(insert, session_id, turn.at, turn.role, turn.text))

    async def set_summary(self, session_id: str, summary: str, summarized: int) -> None:
        await self._run(lambda: self._do(_UPSERT_SUMMARY, session_id, summary, summarized))

    async def delete(self, session_id: str) -> int:
        def delete() -> int:
            deleted = self._do("DELETE FROM turns WHERE session = ?", session_id).rowcount
            self._do("DELETE FROM sessions WHERE id = ?", session_id)
            # What is deleted must not stay in the log of writes either.
            self._do("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return deleted

        return await self._run(delete)

    async def close(self) -> None:
        try:
            await self._run(self._close)
        finally:
            self._worker.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, work)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path}: {error}") from error

    # --- On the thread ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, PRIVATE))
        self._database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=5.0)
        self._do("PRAGMA journal_mode = WAL").fetchall()
        self._do("PRAGMA synchronous = NORMAL")
        self._do("PRAGMA secure_delete = ON").fetchall()  # forgotten is overwritten
        (version,) = self._do("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"was written by another version of Oviya (schema {version})")
        self._database.executescript(_SCHEMA)
        self._do(f"PRAGMA user_version = {SCHEMA_VERSION}")
        if self._keep_days:
            oldest = time.time() - self._keep_days * DAY_S
            self._do(f"DELETE FROM sessions WHERE id IN ({_EXPIRED})", oldest)
            self._do(f"DELETE FROM turns WHERE session IN ({_EXPIRED})", oldest)

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _do(self, statement: str, *values: str | float) -> sqlite3.Cursor:
        if self._database is None:
            raise sqlite3.ProgrammingError("is not open")
        return self._database.execute(statement, values)
