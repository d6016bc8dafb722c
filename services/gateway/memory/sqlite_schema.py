"""The tables of the SQLite store, and the migration of files of earlier versions."""

from __future__ import annotations

import sqlite3

SCHEMA_VERSION = 2

_TABLES = (
    """
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, generation TEXT NOT NULL, secret TEXT NOT NULL, updated REAL NOT NULL,
        summary TEXT NOT NULL DEFAULT '', summarized INTEGER NOT NULL DEFAULT 0,
        last INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX sessions_by_age ON sessions (updated)",
    """
    CREATE TABLE turns (
        session TEXT NOT NULL, number INTEGER NOT NULL, uid TEXT NOT NULL, at REAL NOT NULL, role TEXT NOT NULL,
        text TEXT NOT NULL, PRIMARY KEY (session, number)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE deleted (generation TEXT PRIMARY KEY, name TEXT NOT NULL, secret TEXT NOT NULL, at REAL NOT NULL)",
    "CREATE INDEX deleted_by_name ON deleted (name)",
)

# Version 1 numbered the turns of all sessions together, and a summary covered a count of turns.
_FROM_1 = (
    "DROP INDEX turns_by_session",
    "ALTER TABLE sessions RENAME TO old_sessions",
    "ALTER TABLE turns RENAME TO old_turns",
    *_TABLES,
    """
    INSERT INTO turns
    SELECT session, row_number() OVER (PARTITION BY session ORDER BY number), lower(hex(randomblob(12))), at, role, text
    FROM old_turns
    """,
    """
    INSERT INTO sessions (id, generation, secret, updated, last, bytes)
    SELECT session, '', '', max(at), count(*), sum(length(CAST(text AS BLOB))) FROM turns GROUP BY session
    """,
    """
    UPDATE sessions SET summary = old.summary, summarized = min(old.summarized, sessions.last)
    FROM old_sessions AS old WHERE old.id = sessions.id
    """,
    "DROP TABLE old_turns",
    "DROP TABLE old_sessions",
)


def prepare_schema(database: sqlite3.Connection) -> None:
    """Creates the tables, or migrates those of an earlier version; call it inside a transaction.

    Raises:
        sqlite3.DatabaseError: a later version of Oviya wrote the file.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    if version not in (0, 1):
        raise sqlite3.DatabaseError(f"the file was written by another version of Oviya (schema {version})")
    for statement in _FROM_1 if version == 1 else _TABLES:
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
