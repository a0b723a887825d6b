"""Tables of the journal and how an older one becomes a newer one. `PRAGMA user_version` says which it is."""

from __future__ import annotations

import sqlite3
from typing import Final

from flight.store.row import COLUMNS, fingerprint

_HASHED: Final = 2
"""The version that brought hashes."""

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE queries (
        id TEXT PRIMARY KEY,               -- 16 hex digits
        number INTEGER NOT NULL UNIQUE,    -- order of acceptance
        state TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        digest BLOB NOT NULL,              -- SHA-256 over all arguments: same id, same content?
        request_id BLOB NOT NULL,          -- of the telecommand that was accepted: PUS-1 reports echo it
        args TEXT NOT NULL,                -- JSON
        accepted_at REAL NOT NULL,         -- mission time, unix seconds, as all times here
        expires_at REAL,
        started_at REAL,
        ended_at REAL,
        messages BLOB,                     -- JSON as frozen at the start; what every run reads
        messages_sha256 BLOB,
        scene BLOB,
        prompt_sha256 BLOB,
        answer BLOB,
        thinking BLOB,
        receipt TEXT,
        attempt INTEGER NOT NULL DEFAULT 0,
        restarts INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX queries_by_state ON queries (state, number);
    CREATE TABLE tombstones (
        id TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        digest BLOB NOT NULL
    );
    CREATE INDEX tombstones_by_number ON tombstones (number);
    CREATE TABLE events (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        name TEXT NOT NULL,
        args TEXT NOT NULL
    );
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    );
    """,
    """
    ALTER TABLE queries ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;  -- times written: the later of two copies
    ALTER TABLE queries ADD COLUMN sha256 BLOB;                          -- over all other columns (flight.store.row)
    ALTER TABLE tombstones ADD COLUMN sha256 BLOB;
    ALTER TABLE events ADD COLUMN sha256 BLOB;
    ALTER TABLE meta ADD COLUMN sha256 BLOB;
    """,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to the newest version, each step in a transaction of its own.

    Raises:
        sqlite3.DatabaseError: the file is no journal, is damaged, or was written by a newer version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise sqlite3.DatabaseError(f"expected a journal of version {len(MIGRATIONS)} or older, found {version}")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}")
        if number == _HASHED:
            _hash_all(connection)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")


def _hash_all(connection: sqlite3.Connection) -> None:
    """Rows of a journal from before rows had hashes are taken as they are, once."""
    tables = {
        "queries": COLUMNS,
        "tombstones": ("id", "number", "digest"),
        "events": ("at", "name", "args"),
        "meta": ("key", "value"),
    }
    for table, columns in tables.items():
        for rowid, *values in connection.execute(f"SELECT rowid, {', '.join(columns)} FROM {table}").fetchall():
            connection.execute(f"UPDATE {table} SET sha256 = ? WHERE rowid = ?", (fingerprint(values), rowid))
