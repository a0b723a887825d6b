"""One file of the journal: an SQLite database that is looked over when it is opened, and rows that prove themselves.

The journal has two of them. The first is in WAL mode; the copy keeps a rollback journal, because SQLite drops damaged
frames at the end of a WAL without a word: what one way of writing loses silently, the other does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from flight.errors import JournalError
from flight.store.row import COLUMNS, Row, fingerprint, id_of, key
from flight.store.schema import migrate

NO_ROOM: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
"""Primary result codes that say nothing against the file's contents."""

BROKEN: Final = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What SQLite raises: the sentence of an error may quote a damaged schema, and then cannot even be read."""

_NAMES: Final = ", ".join(COLUMNS)
_MARKS: Final = ", ".join("?" * (len(COLUMNS) + 1))
_SELECT: Final = f"SELECT {_NAMES}, sha256 FROM queries"
_PUT: Final = f"INSERT INTO queries ({_NAMES}, sha256) VALUES ({_MARKS}) ON CONFLICT (id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in (*COLUMNS[1:], "sha256")
)


class Shelf:
    """One open file. Methods raise `BROKEN`; `damaged` tells whether one speaks against the file."""

    def __init__(self, path: Path, *, wal: bool) -> None:
        """Open or create. Raises `JournalError` when the file is not a sound journal."""
        self.path = path
        try:
            self.db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        except sqlite3.Error as error:
            raise JournalError(f"The journal {path} cannot be opened: {error}.") from error
        try:
            _prepare(self.db)
            # FULL: in WAL mode NORMAL may lose the last commits at a power cut, and a commit here is a promise.
            mode = "WAL" if wal else "PERSIST"
            self.db.executescript(f"PRAGMA journal_mode = {mode}; PRAGMA synchronous = FULL;")
            (verdict,) = self.db.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            migrate(self.db)
            if _shape(self.db) != _right_shape():
                raise sqlite3.DatabaseError("its tables are not those of a journal")
            self._probe()
        except BROKEN as error:
            self.db.close()
            raise JournalError(f"The journal {path} is damaged: {error}.") from error

    def _probe(self) -> None:
        """A header that was flipped to read-only shows now, not at a promise; a full disk is no damage."""
        try:
            with self.transaction():
                self.write_meta("opened", 1)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in NO_ROOM and os.access(self.path, os.W_OK):
                raise

    def close(self) -> None:
        """Close without committing what waits."""
        self.db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when it is left; what waits in the open transaction goes with it."""
        if not self.db.in_transaction:
            self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    # ---- queries ----------------------------------------------------

    def get(self, query_id: int) -> Row | None:
        """The row of a query, sound or not."""
        found = self.db.execute(f"{_SELECT} WHERE id = ?", (key(query_id),)).fetchone()
        return _row(found) if found else None

    def put(self, row: Row) -> None:
        """Write a row, whatever stood there."""
        self.db.execute(_PUT, (*row.values, row.sha256))

    def count(self, states: Iterable[str]) -> int:
        """Rows in these states."""
        wanted = tuple(states)
        return self.scalar(f"SELECT COUNT(*) FROM queries WHERE state IN ({', '.join('?' * len(wanted))})", wanted)

    def ids(self, states: Iterable[str]) -> list[int]:
        """Ids of the queries in these states."""
        wanted = tuple(states)
        marks = ", ".join("?" * len(wanted))
        rows = self.db.execute(f"SELECT id FROM queries WHERE state IN ({marks}) ORDER BY number", wanted)
        return [one for row in rows if (one := id_of(row[0])) is not None]

    def free(self, released: int, tombstones: int) -> None:
        """Keep the newest released answers; of older ones a tombstone, and of those no more than `tombstones`."""
        old = "FROM queries WHERE state = 'released' ORDER BY number DESC LIMIT -1 OFFSET ?"
        for query_id, number, digest in self.db.execute(f"SELECT id, number, digest {old}", (released,)).fetchall():
            self.bury(query_id, number, digest)
        self.db.execute(
            "DELETE FROM tombstones WHERE id IN (SELECT id FROM tombstones ORDER BY number DESC LIMIT -1 OFFSET ?)",
            (tombstones,),
        )

    def bury(self, query_id: str, number: int, digest: bytes) -> None:
        """Put a tombstone in the place of a query."""
        mark = (query_id, number, digest)
        self.db.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?, ?)", (*mark, fingerprint(mark)))
        self.db.execute("DELETE FROM queries WHERE id = ?", (query_id,))

    def tombstone(self, query_id: int) -> bytes | None:
        """The digest of a query that was freed."""
        found = self.db.execute("SELECT * FROM tombstones WHERE id = ?", (key(query_id),)).fetchone()
        return bytes(found[2]) if found and found[3] == fingerprint(found[:3]) else None

    def last_number(self) -> int:
        """The highest number of acceptance."""
        return max(self.scalar(f"SELECT MAX(number) FROM {table}") for table in ("queries", "tombstones"))

    # ---- events and small values --------------------------------------

    def add_event(self, at: float, name: str, args: str) -> None:
        """Add an event; it waits in the open transaction."""
        if not self.db.in_transaction:
            self.db.execute("BEGIN IMMEDIATE")
        event = (float(at), name, args)
        self.db.execute("INSERT INTO events (at, name, args, sha256) VALUES (?, ?, ?, ?)", (*event, fingerprint(event)))

    def events(self, last: int) -> list[tuple[float, str, str]]:
        """The newest events that are whole, oldest first."""
        rows = self.db.execute("SELECT at, name, args, sha256 FROM events ORDER BY number DESC LIMIT ?", (last,))
        return [row[:3] for row in reversed(rows.fetchall()) if row[3] == fingerprint(row[:3])]

    def prune_events(self, bound: int) -> None:
        """Keep the newest events."""
        self.db.execute("DELETE FROM events WHERE number <= (SELECT MAX(number) FROM events) - ?", (bound,))

    def read_meta(self, name: str) -> Any:
        """A small value kept over restarts; None where there is none, or none that is whole."""
        row = self.db.execute("SELECT key, value, sha256 FROM meta WHERE key = ?", (name,)).fetchone()
        return json.loads(row[1]) if row and row[2] == fingerprint(row[:2]) else None

    def write_meta(self, name: str, value: Any) -> None:
        """Keep a small value."""
        pair = (name, json.dumps(value))
        self.db.execute("INSERT OR REPLACE INTO meta (key, value, sha256) VALUES (?, ?, ?)", (*pair, fingerprint(pair)))

    def scalar(self, sql: str, values: tuple[Any, ...] = ()) -> int:
        """One number, 0 for none."""
        found = self.db.execute(sql, values).fetchone()[0]
        return found if isinstance(found, int) else 0


def damaged(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    """Whether an error speaks against the contents of the file."""
    if isinstance(error, UnicodeDecodeError):
        return True
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR)


@dataclass(frozen=True)
class Remains:
    """What can still be read from a file, however damaged."""

    rows: list[Row]
    """Sound or not."""
    tombstones: list[tuple[str, int, bytes]]
    """(id, number, digest) of those that are whole."""
    events: list[tuple[float, str, str]]
    """(mission time, name, args) of those that are whole, oldest first."""


def salvage(path: Path) -> Remains:
    """What can still be read from a file that cannot be opened as a shelf; nothing where there is no file."""
    if not path.exists():
        return Remains([], [], [])
    with contextlib.suppress(*BROKEN), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        with contextlib.suppress(*BROKEN):
            _prepare(db)
        return read_all(db)
    return Remains([], [], [])


def read_all(db: sqlite3.Connection) -> Remains:
    """What can be read through a connection, error or not."""
    rows: dict[Any, Row] = {}
    marks: dict[str, tuple[str, int, bytes]] = {}
    events: dict[int, tuple[float, str, str]] = {}
    # From both ends: a page that cannot be read stops a walk, and what lies behind it is met by the other one.
    for order in ("", " DESC"):
        with contextlib.suppress(*BROKEN):
            for found in db.execute(f"{_SELECT} ORDER BY rowid{order}"):
                rows.setdefault(found, _row(found))
        with contextlib.suppress(*BROKEN):
            for found in db.execute(f"SELECT * FROM tombstones ORDER BY rowid{order}"):
                if found[3] == fingerprint(found[:3]):
                    marks[found[0]] = found[:3]
        with contextlib.suppress(*BROKEN):
            for found in db.execute(f"SELECT number, at, name, args, sha256 FROM events ORDER BY number{order}"):
                if found[4] == fingerprint(found[1:4]):
                    events[found[0]] = found[1:4]
    return Remains(list(rows.values()), list(marks.values()), [events[number] for number in sorted(events)])


def _prepare(db: sqlite3.Connection) -> None:
    # A flipped byte must come out as it is, to be refused by its hash, and not stop the reading.
    db.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    db.executescript("PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;")


def _row(found: tuple[Any, ...]) -> Row:
    return Row(tuple(found[:-1]), found[-1])


def _shape(db: sqlite3.Connection) -> Mapping[str, str]:
    return dict(db.execute("SELECT name, COALESCE(sql, '') FROM sqlite_schema"))


@cache
def _right_shape() -> Mapping[str, str]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db)
        return _shape(db)
