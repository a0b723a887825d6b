"""The journal: what has been promised. SQLite in WAL mode with synchronous FULL; core is its only writer.

A method that returns has committed durably, except `event`, which `flush` commits at the end of a turn: a query is
where a promise is made (accepted, final), an event is not.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flight.errors import JournalError
from flight.settings import StoreSettings
from flight.store import query as q
from flight.store.files import move_aside
from flight.store.query import Query
from flight.store.schema import migrate

LOG = logging.getLogger("flight.store")
_COLUMNS = (
    "id, number, state, reason, digest, request_id, args, accepted_at, expires_at, started_at, ended_at, messages, "
    "messages_sha256, scene, prompt_sha256, answer, thinking, receipt, attempt, restarts, failures"
)


class Journal:
    """The open journal. `Journal.recover` is the way to open it in flight."""

    def __init__(self, path: Path, bounds: StoreSettings | None = None) -> None:
        """Open or create. Raises `JournalError` when the file is not a sound journal."""
        self._bounds = bounds or StoreSettings()
        self._events_since_prune = 0
        self.lost_events = 0
        """Times that events could not be kept."""
        self.counters: Counter[str] = Counter()
        """Queries by what became of them: accepted, done, failed, cancelled, expired, released; kept over restarts."""
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        except sqlite3.Error as error:
            raise JournalError(f"The journal {path} cannot be opened: {error}.") from error
        try:
            # FULL: in WAL mode NORMAL may lose the last commits at a power cut, and a commit here is a promise.
            self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            (verdict,) = self._db.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            migrate(self._db)
            self.counters.update(self.read_meta("counters") or {})
            self._next = 1 + max(
                self._scalar("SELECT MAX(number) FROM queries"), self._scalar("SELECT MAX(number) FROM tombstones")
            )
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise JournalError(f"The journal {path} is damaged: {error}.") from error

    @classmethod
    def recover(cls, path: Path, bounds: StoreSettings | None = None) -> tuple[Journal, str | None]:
        """Open the journal; a damaged one is moved aside, whole, and a fresh one begun.

        Returns (journal, name that the damaged one was given or None).
        """
        try:
            return cls(path, bounds), None
        except JournalError as error:
            LOG.error("%s", error)
        aside = [
            target.name
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm")
            if (target := move_aside(path.with_name(name), "damaged")) is not None
        ]
        return cls(path, bounds), aside[0] if aside else path.name

    def close(self) -> None:
        """Commit what waits and close."""
        self.flush()
        self._db.close()

    # ---- queries ----------------------------------------------------

    def find(self, query_id: int) -> Query | None:
        """The query, unless it is unknown or only its tombstone is left."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM queries WHERE id = ?", (_key(query_id),)).fetchone()
        return _query(row) if row else None

    def tombstone(self, query_id: int) -> bytes | None:
        """The digest of a query that was released and freed."""
        row = self._db.execute("SELECT digest FROM tombstones WHERE id = ?", (_key(query_id),)).fetchone()
        return bytes(row[0]) if row else None

    def waiting(self) -> list[Query]:
        """Running, then queued queries, each in the order of acceptance."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM queries WHERE state IN ('running', 'queued') ORDER BY state = 'queued', number"
        )
        return [_query(row) for row in rows]

    def count(self, *states: str) -> int:
        """Queries in these states."""
        marks = ", ".join("?" * len(states))
        return self._scalar(f"SELECT COUNT(*) FROM queries WHERE state IN ({marks})", states)

    def full(self) -> bool:
        """Whether so many answers wait for their release that no further query may be accepted."""
        return self.count(*q.OPEN, *q.FINAL) >= self._bounds.queries

    def accept(
        self, args: Mapping[str, Any], digest: bytes, request_id: bytes, now: float, expires_at: float | None
    ) -> Query:
        """Take a query over: from here on it is never lost. Raises `JournalError`."""
        query = Query(
            id=int(args["query_id"]),
            number=self._next,
            state=q.QUEUED,
            reason="",
            digest=digest,
            request_id=request_id,
            args=dict(args),
            accepted_at=now,
            expires_at=expires_at,
        )
        try:
            with self._promise("accepted"):
                self._db.execute(
                    "INSERT INTO queries (id, number, state, digest, request_id, args, accepted_at, expires_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (_key(query.id), query.number, query.state, digest, request_id, q.dump_json(args), now, expires_at),
                )
        except sqlite3.Error as error:
            raise JournalError(f"The query could not be written to the journal: {error}.") from error
        self._next += 1
        return query

    def reset_counters(self) -> None:
        """Count from zero again."""
        self.counters.clear()
        self.write_meta("counters", {})

    def start(self, query: Query, messages: bytes, messages_sha256: bytes, scene: bytes | None, now: float) -> Query:
        """Freeze what the model will read: every run, also after a crash, reads this and nothing newer."""
        return self._change(
            query,
            state=q.RUNNING,
            messages=messages,
            messages_sha256=messages_sha256,
            scene=scene,
            started_at=now,
        )

    def interrupted(self, query: Query, *, failures: int) -> Query:
        """A run was cut off; it will be made again. `failures` counts those that the query itself may have caused."""
        return self._change(query, restarts=query.restarts + 1, failures=failures)

    def differs(self, query: Query) -> Query:
        """The answer is made again with other text than was sent: the next attempt."""
        return self._change(query, attempt=query.attempt + 1)

    def finish(
        self,
        query: Query,
        state: str,
        reason: str,
        now: float,
        *,
        answer: bytes = b"",
        thinking: bytes = b"",
        prompt_sha256: bytes | None = None,
        receipt: Mapping[str, Any] | None = None,
    ) -> Query:
        """The final word on a query, before anybody hears it."""
        return self._change(
            query,
            state=state,
            reason=reason,
            ended_at=now,
            answer=answer,
            thinking=thinking,
            prompt_sha256=prompt_sha256,
            receipt=receipt,
        )

    def release(self, query: Query) -> None:
        """Ground has it whole. The newest released answers stay for follow-up questions; of older ones a tombstone."""
        bounds = self._bounds
        with self._promise("released"):
            self._db.execute("UPDATE queries SET state = 'released' WHERE id = ?", (_key(query.id),))
            old = "FROM queries WHERE state = 'released' ORDER BY number DESC LIMIT -1 OFFSET ?"
            self._db.execute(
                f"INSERT OR IGNORE INTO tombstones (id, number, digest) SELECT id, number, digest {old}",
                (bounds.released,),
            )
            self._db.execute(f"DELETE FROM queries WHERE id IN (SELECT id {old})", (bounds.released,))
            self._db.execute(
                "DELETE FROM tombstones WHERE id IN (SELECT id FROM tombstones ORDER BY number DESC LIMIT -1 OFFSET ?)",
                (bounds.tombstones,),
            )

    # ---- events -----------------------------------------------------

    def event(self, name: str, args: Mapping[str, Any], now: float) -> None:
        """Keep an event; `flush` makes it durable. A full disk costs the event (`lost_events`), not the flight."""
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO events (at, name, args) VALUES (?, ?, ?)", (now, name, q.dump_json(args)))
            self._prune_events()
        except sqlite3.OperationalError as error:
            self._lost_events(error)

    def _prune_events(self) -> None:
        self._events_since_prune += 1
        if self._events_since_prune >= 256:
            self._events_since_prune = 0
            self._db.execute(
                "DELETE FROM events WHERE number <= (SELECT MAX(number) FROM events) - ?", (self._bounds.events,)
            )

    def events(self, last: int = 100) -> list[tuple[float, str, dict[str, Any]]]:
        """The newest events, oldest first: (mission time, name, args)."""
        rows = self._db.execute("SELECT at, name, args FROM events ORDER BY number DESC LIMIT ?", (last,)).fetchall()
        return [(at, name, q.load_json(args)) for at, name, args in reversed(rows)]

    def flush(self) -> None:
        """Commit events that wait."""
        if self._db.in_transaction:
            try:
                self._db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._lost_events(error)

    def _lost_events(self, error: sqlite3.Error) -> None:
        LOG.error("events are lost: %s", error)
        self.lost_events += 1
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    # ---- counters ---------------------------------------------------

    def read_meta(self, key: str) -> Any:
        """A small value kept over restarts, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def write_meta(self, key: str, value: Any) -> None:
        """Keep a small value, durably."""
        with self._promise():
            self._db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, json.dumps(value)))

    # ---- inside -----------------------------------------------------

    @contextlib.contextmanager
    def _promise(self, counted: str = "") -> Iterator[None]:
        """A transaction that is durable when it is left; events that wait go with it, and one more of `counted`."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            if counted:
                counters = self.counters + Counter({counted: 1})
                self._db.execute(
                    "INSERT OR REPLACE INTO meta (key, value) VALUES ('counters', ?)", (json.dumps(counters),)
                )
            self._db.execute("COMMIT")
            if counted:
                self.counters[counted] += 1
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _change(self, query: Query, **changes: Any) -> Query:
        values = dict(changes)
        if values.get("receipt") is not None:
            values["receipt"] = q.dump_json(values["receipt"])
        assignments = ", ".join(f"{name} = ?" for name in values)
        with self._promise(changes["state"] if changes.get("state") in q.FINAL else ""):
            self._db.execute(f"UPDATE queries SET {assignments} WHERE id = ?", (*values.values(), _key(query.id)))
        return query.with_changes(**changes)

    def _scalar(self, sql: str, values: tuple[Any, ...] = ()) -> int:
        return int(self._db.execute(sql, values).fetchone()[0] or 0)


def _key(query_id: int) -> str:
    return f"{query_id:016x}"


def _query(row: tuple[Any, ...]) -> Query:
    values = list(row)
    values[0] = int(values[0], 16)
    values[6] = q.load_json(values[6])
    values[17] = q.load_json(values[17]) if values[17] is not None else None
    return Query(*values)
