"""Sessions in a SQLite file, for gateways on one machine."""

from __future__ import annotations

import asyncio
import hmac
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

import structlog

from services.gateway.memory.sqlite_schema import prepare_schema
from services.gateway.memory.store import (
    DAY_S,
    EMPTY_S,
    RETRY_WINDOW,
    TOMBSTONE_S,
    AppendResult,
    Claim,
    KeptSession,
    KeptTurn,
    PruneResult,
    Role,
    StoreError,
    StoreLimits,
    hash_name,
    new_id,
)

log = structlog.get_logger()

T = TypeVar("T")

PRIVATE = 0o600
BUSY_S = 1.0
"""Longest wait in seconds for another process that writes; after that the write is retried."""
SIDE_FILES = ("", "-wal", "-shm")
"""Suffixes of the files of a database: itself, its write-ahead log, and the log's index."""

_LATEST_FIRST = "SELECT id FROM sessions WHERE last > 0 ORDER BY updated DESC, id"


class SqliteStore:
    """A store in one file, accessed by its own thread.  Several processes may use the same file.

    Args:
        path: the file; created if it is missing, and readable only by its owner.
    """

    def __init__(self, path: Path, limits: StoreLimits | None = None) -> None:
        self._path = path
        self._limits = limits or StoreLimits()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="sessions")
        self._database: sqlite3.Connection | None = None

    async def open(self) -> None:
        await self._run(self._open)

    async def claim(self, session_id: str, secret: str, *, since: float, now: float) -> Claim | None:
        def claim() -> Claim | None:
            with self._writing():
                row = self._do("SELECT generation, secret FROM sessions WHERE id = ?", session_id).fetchone()
                if row is not None and row[0]:
                    return Claim(*row)
                mine = Claim(new_id(), secret)
                if row is not None:  # from an earlier version: bound to the first caller that resumes it
                    self._do("UPDATE sessions SET generation = ?, secret = ? WHERE id = ?", mine.generation, secret,
                             session_id)  # fmt: skip
                    return mine
                deleted = "SELECT 1 FROM deleted WHERE name = ? AND at >= ?"
                if self._do(deleted, hash_name(session_id), since).fetchone():
                    return None
                self._begin(session_id, mine, now)
                return mine

        return await self._run(claim)

    async def load(self, session_id: str, *, after: int | None = None, limit: int = 0) -> KeptSession | None:
        def load() -> KeptSession | None:
            with self._reading():
                about = "SELECT summary, summarized, generation, secret FROM sessions WHERE id = ?"
                row = self._do(about, session_id).fetchone()
                if row is None:
                    return None
                summary, summarized, generation, secret = row
                turns = self._do(
                    "SELECT at, role, text, uid, number FROM turns WHERE session = ? AND number > ? ORDER BY number "
                    "LIMIT ?", session_id, summarized if after is None else after, limit or -1
                ).fetchall()  # fmt: skip
            kept = tuple(KeptTurn(at, cast(Role, role), text, uid, number) for at, role, text, uid, number in turns)
            return KeptSession(kept, summary, summarized, generation, secret)

        return await self._run(load)

    async def append(self, session_id: str, claimed: Claim, turn: KeptTurn, *, last: int = 0) -> AppendResult:
        def append() -> AppendResult:
            with self._writing():
                row = self._do("SELECT generation, last FROM sessions WHERE id = ?", session_id).fetchone()
                if row is None or row[0] != claimed.generation:
                    if self._do("SELECT 1 FROM deleted WHERE generation = ?", claimed.generation).fetchone():
                        return AppendResult("deleted")
                    if row is not None:
                        return AppendResult("taken")
                    self._begin(session_id, claimed, turn.at)
                    row = (claimed.generation, last)
                number = row[1] + 1
                earlier = "SELECT number FROM turns WHERE session = ? AND number > ? AND uid = ?"
                if found := self._do(earlier, session_id, number - RETRY_WINDOW, turn.uid).fetchone():
                    return AppendResult("kept", found[0])
                self._do("INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?)", session_id, number, turn.uid, turn.at,
                         turn.role, turn.text)  # fmt: skip
                dropped, dropped_bytes = self._drop_oldest_turns(session_id, number)
                self._do(
                    "UPDATE sessions SET updated = CASE last WHEN 0 THEN ?2 ELSE max(updated, ?2) END, last = ?1, "
                    "bytes = bytes + ?3 WHERE id = ?4",
                    number, turn.at, len(turn.text.encode()) - dropped_bytes, session_id,
                )  # fmt: skip
                return AppendResult("kept", number, dropped, self._is_full())

        return await self._run(append)

    async def set_summary(self, session_id: str, generation: str, summary: str, summarized: int) -> bool:
        def set_summary() -> bool:
            with self._writing():
                update = (
                    "UPDATE sessions SET summary = ?, summarized = ? WHERE id = ? AND generation = ? AND summarized < ?"
                )
                return self._do(update, summary, summarized, session_id, generation, summarized).rowcount == 1

        return await self._run(set_summary)

    async def delete(self, session_id: str, claimed: Claim, *, now: float) -> int | None:
        def delete() -> int | None:
            with self._writing():
                row = self._do("SELECT generation FROM sessions WHERE id = ?", session_id).fetchone()
                if row is None or row[0] != claimed.generation:
                    return None
                turns = self._forget(session_id)
                self._do("INSERT OR REPLACE INTO deleted VALUES (?, ?, ?, ?)", claimed.generation,
                         hash_name(session_id), claimed.secret, now)  # fmt: skip
            # What is deleted must not stay in the log of writes either.
            self._do("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return turns

        return await self._run(delete)

    async def deleted(self, session_id: str, secret: str) -> bool:
        def deleted() -> bool:
            rows = self._do("SELECT secret FROM deleted WHERE name = ?", hash_name(session_id)).fetchall()
            return any(hmac.compare_digest(row[0], secret) for row in rows)

        return await self._run(deleted)

    async def prune(self, now: float) -> PruneResult:
        return await self._run(lambda: self._prune(now))

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
        make_private(self._path)
        self._close()  # of an earlier attempt
        self._database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=BUSY_S)
        self._do("PRAGMA journal_mode = WAL").fetchall()
        self._do("PRAGMA synchronous = NORMAL")
        self._do("PRAGMA secure_delete = ON").fetchall()  # deleted data is overwritten
        with self._writing():
            prepare_schema(self._database)
        self._prune(time.time())

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _begin(self, session_id: str, claimed: Claim, now: float) -> None:
        """Creates a session without turns."""
        self._do(
            "INSERT INTO sessions (id, generation, secret, updated) VALUES (?, ?, ?, ?)",
            session_id, claimed.generation, claimed.secret, now,
        )  # fmt: skip

    def _forget(self, session_id: str) -> int:
        """Deletes a session; returns how many turns it had."""
        self._do("DELETE FROM sessions WHERE id = ?", session_id)
        return self._do("DELETE FROM turns WHERE session = ?", session_id).rowcount

    def _drop_oldest_turns(self, session_id: str, last: int) -> tuple[int, int]:
        """Drops the turns of a session beyond the limit; returns how many, and their bytes."""
        if not (most := self._limits.max_turns):
            return 0, 0
        old = "FROM turns WHERE session = ? AND number <= ?"
        sizes = self._do(f"SELECT length(CAST(text AS BLOB)) {old}", session_id, last - most).fetchall()
        if sizes:
            self._do(f"DELETE {old}", session_id, last - most)
        return len(sizes), sum(size for (size,) in sizes)

    def _is_full(self) -> bool:
        count, size = self._do("SELECT count(*), total(bytes) FROM sessions WHERE last > 0").fetchone()
        limits = self._limits
        return 0 < limits.max_sessions < count or (0 < limits.max_bytes < size and count > 1)

    def _prune(self, now: float) -> PruneResult:
        expired = dropped = 0
        with self._writing():
            self._do("DELETE FROM deleted WHERE at < ?", now - TOMBSTONE_S)
            self._do("DELETE FROM sessions WHERE last = 0 AND updated < ?", now - EMPTY_S)
            if self._limits.keep_days:
                oldest = now - self._limits.keep_days * DAY_S
                for (session_id,) in self._do("SELECT id FROM sessions WHERE updated < ?", oldest).fetchall():
                    self._forget(session_id)
                    expired += 1
            if self._is_full():
                ids = self._do(_LATEST_FIRST).fetchall()
                while self._is_full():
                    self._forget(ids.pop()[0])
                    dropped += 1
        if expired or dropped:
            self._do("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return PruneResult(expired, dropped)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction with the write lock from its start: what it reads stays true until its end."""
        with self._transaction("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """A transaction in which all reads see the same state."""
        with self._transaction("BEGIN"):
            yield

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._do(begin)
        try:
            yield
            self._do("COMMIT")
        except BaseException:
            if self._database is not None and self._database.in_transaction:
                self._do("ROLLBACK")
            raise

    def _do(self, statement: str, *values: str | float) -> sqlite3.Cursor:
        if self._database is None:
            raise sqlite3.ProgrammingError("the database is not open")
        return self._database.execute(statement, values)


def make_private(path: Path) -> None:
    """Makes a database and its side files readable only by their owner; logs each change."""
    for suffix in SIDE_FILES:
        file = path.with_name(path.name + suffix)
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & ~PRIVATE:
                file.chmod(PRIVATE)
                log.warning("others could read the sessions; now only the owner can", file=file.name, was=f"{mode:o}")
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("other users may be able to read the sessions", file=file.name, reason=error.strerror)
