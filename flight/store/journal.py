"""The journal: what has been promised, in two SQLite files with synchronous FULL; core is its only writer.

A method that returns has committed durably, except `event`, which `flush` commits at the end of a turn: a query is
where a promise is made (accepted, final), an event is not. A row is proven by its hash when it is read, and given back
by the other file when it is not what was written; where neither has it, that query has failed, and says so.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flight.errors import JournalError
from flight.settings import StoreSettings
from flight.store import query as q
from flight.store.mending import Findings, make_again, open_both
from flight.store.query import Query
from flight.store.row import Row, intact, lost
from flight.store.shelf import BROKEN, Shelf, damaged

LOG = logging.getLogger("flight.store")


def copy_of(path: Path) -> Path:
    """Where the journal's copy lies."""
    return path.with_name(f"{path.stem}-copy{path.suffix}")


class Journal:
    """The open journal. `Journal.recover` opens it and says what a damaged file was renamed to."""

    def __init__(self, path: Path, bounds: StoreSettings | None = None) -> None:
        """Open or create both files, mending what is damaged. Raises `JournalError` when that cannot be done."""
        self._bounds = bounds or StoreSettings()
        self._events_since_prune = 0
        self.lost_events = 0
        """Times that events could not be kept."""
        self.found = Findings()
        """Damage that was met, until `take_findings`."""
        copy = copy_of(path) if self._bounds.copy_rows else None
        self._main, self._copy = open_both(path, copy, self.found, checked=self._bounds.check_rows)
        self._live: dict[int, Row] = {}
        shelves = [shelf for shelf in (self._main, self._copy) if shelf is not None]
        self.counters: Counter[str] = Counter()
        """Queries by what became of them: accepted, done, failed, cancelled, expired, released; kept over restarts."""
        for shelf in shelves:
            self.counters |= Counter(shelf.read_meta("counters") or {})
        self._next = 1 + max(shelf.last_number() for shelf in shelves)
        self.found.lost = self._untold()

    @classmethod
    def recover(cls, path: Path, bounds: StoreSettings | None = None) -> tuple[Journal, str | None]:
        """Open the journal. Returns (journal, name of a damaged file that nothing could be restored from, or None)."""
        journal = cls(path, bounds)
        return journal, journal.found.aside

    def close(self) -> None:
        """Commit what waits and close."""
        self.flush()
        self.abandon()

    def abandon(self) -> None:
        """Close without committing what waits: what the death of the process does."""
        self._main.close()
        if self._copy is not None:
            self._copy.close()

    def take_findings(self) -> Findings:
        """Damage that was met since the last call."""
        found, self.found = self.found, Findings()
        return found

    # ---- queries ----------------------------------------------------

    def find(self, query_id: int) -> Query | None:
        """The query, unless it is unknown or only its tombstone is left."""
        row = self._reading(lambda shelf: shelf.get(query_id))
        if row is not None and self._sound(row):
            return _query(row)
        if row is None and self._reading(lambda shelf: shelf.tombstone(query_id)) is not None:
            return None
        spare = self._spare(query_id)
        if spare is None:
            return None if row is None else self._lose(query_id, row)
        LOG.error("query %016x was damaged in the journal and is taken from its copy", query_id)
        self.found.mended[self._main.path.name] += 1
        try:
            self._commit(lambda shelf: shelf.put(spare))
        except BROKEN as error:
            LOG.error("the journal cannot be mended now: %s", error)
        return _query(spare)

    def tombstone(self, query_id: int) -> bytes | None:
        """The digest of a query that was released and freed."""
        mark: bytes | None = self._reading(lambda shelf: shelf.tombstone(query_id))
        if mark is None:
            mark = self._reading_copy(lambda shelf: shelf.tombstone(query_id))
        return mark

    def waiting(self) -> list[Query]:
        """Running, then queued queries, each in the order of acceptance."""
        rows = self._reading(lambda shelf: shelf.ids(q.OPEN))
        found = [one for query_id in rows if (one := self.find(query_id)) is not None and one.state in q.OPEN]
        return sorted(found, key=lambda one: (one.state == q.QUEUED, one.number))

    def count(self, *states: str) -> int:
        """Queries in these states."""
        number: int = self._reading(lambda shelf: shelf.count(states))
        return number

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
            if self.find(query.id) is not None:
                raise JournalError(f"The query {query.id:016x} is in the journal already.")
            query = self._write(query, counted="accepted")
        except BROKEN as error:
            raise JournalError(f"The query could not be written to the journal: {error}.") from error
        self._next += 1
        return query

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
        released = self._changed(query, {"state": q.RELEASED})

        def apply(shelf: Shelf) -> None:
            shelf.put(Row.of(released))
            shelf.free(bounds.released, bounds.tombstones)

        self._commit(apply, counted="released")
        self._live.pop(query.id, None)

    # ---- events -----------------------------------------------------

    def event(self, name: str, args: Mapping[str, Any], now: float) -> None:
        """Keep an event; `flush` makes it durable. A full disk costs the event (`lost_events`), not the flight."""
        try:
            self._main.add_event(now, name, q.dump_json(args))
            self._events_since_prune += 1
            if self._events_since_prune >= 256:
                self._events_since_prune = 0
                self._main.prune_events(self._bounds.events)
        except BROKEN as error:
            self._lost_events(error)

    def events(self, last: int = 100) -> list[tuple[float, str, dict[str, Any]]]:
        """The newest events, oldest first: (mission time, name, args)."""
        return [(at, name, q.load_json(args)) for at, name, args in self._main.events(last)]

    def flush(self) -> None:
        """Commit events that wait."""
        if self._main.db.in_transaction:
            try:
                self._main.db.execute("COMMIT")
            except BROKEN as error:
                self._lost_events(error)

    def _lost_events(self, error: sqlite3.Error | UnicodeDecodeError) -> None:
        LOG.error("events are lost: %s", error)
        self.lost_events += 1
        if self._main.db.in_transaction:
            self._main.db.execute("ROLLBACK")

    # ---- counters ---------------------------------------------------

    def reset_counters(self) -> None:
        """Count from zero again."""
        self.counters.clear()
        self.write_meta("counters", {})

    def read_meta(self, key: str) -> Any:
        """A small value kept over restarts, or None."""
        return self._reading(lambda shelf: shelf.read_meta(key))

    def write_meta(self, key: str, value: Any) -> None:
        """Keep a small value, durably."""
        self._commit(lambda shelf: shelf.write_meta(key, value))

    # ---- inside -----------------------------------------------------

    def _change(self, query: Query, **changes: Any) -> Query:
        counted = changes["state"] if changes.get("state") in q.FINAL else ""
        return self._write(self._changed(query, changes), counted=counted)

    def _changed(self, query: Query, changes: Mapping[str, Any]) -> Query:
        """The query with changes; one that was hit in our memory since it was written is read again first."""
        if self._bounds.check_rows and not intact(query):
            LOG.error("query %016x was damaged in memory and is read again", query.id)
            self.found.mended["memory"] += 1
            query = self.find(query.id) or query
        return query.with_changes(**changes, revision=query.revision + 1)

    def _write(self, query: Query, *, counted: str = "") -> Query:
        row = Row.of(query)
        self._commit(lambda shelf: shelf.put(row), counted=counted)
        if query.state in q.OPEN:
            self._live[query.id] = row
        else:
            self._live.pop(query.id, None)
        return _query(row)

    def _commit(self, apply: Callable[[Shelf], None], *, counted: str = "") -> None:
        """A durable change of both files, and one more of `counted`; events that wait go with it."""
        counters = self.counters + Counter({counted: 1}) if counted else None

        def whole(shelf: Shelf) -> None:
            with shelf.transaction():
                apply(shelf)
                if counters is not None:
                    shelf.write_meta("counters", counters)

        try:
            whole(self._main)
        except BROKEN as error:
            self._heal(error)
            whole(self._main)
        if counted:
            self.counters[counted] += 1
        if self._copy is not None:
            try:
                whole(self._copy)
            except BROKEN as error:
                self._renew_copy(error)

    def _reading(self, look: Callable[[Shelf], Any]) -> Any:
        try:
            return look(self._main)
        except BROKEN as error:
            self._heal(error)
            return look(self._main)

    def _reading_copy(self, look: Callable[[Shelf], Any]) -> Any:
        """What the copy says; None where there is none, or where it broke as well."""
        try:
            return look(self._copy) if self._copy is not None else None
        except BROKEN as error:
            self._renew_copy(error)
            return None

    def _heal(self, error: sqlite3.Error | UnicodeDecodeError) -> None:
        """The first file broke: make it again from the copy. Raises what cannot be helped."""
        if self._copy is None or not damaged(error):
            raise error
        self._main = make_again(self._main, self._copy, self.found, wal=True)

    def _renew_copy(self, error: sqlite3.Error | UnicodeDecodeError) -> None:
        """The copy could not be written. The promise stands in the first file; without room we go on with that alone.

        The next start makes the copy again.
        """
        assert self._copy is not None
        LOG.error("the journal's copy cannot be written: %s", error)
        try:
            self._copy = make_again(self._copy, self._main, self.found, wal=False) if damaged(error) else None
        except (JournalError, OSError) as trouble:
            LOG.error("%s", trouble)
            self._copy = None
        if self._copy is None:
            self.found.alone = str(error)

    def _sound(self, row: Row) -> bool:
        return row.sound or not self._bounds.check_rows

    def _spare(self, query_id: int) -> Row | None:
        """The row as the copy has it, or, of an open query, as it was written last."""
        row = self._reading_copy(lambda shelf: shelf.get(query_id))
        live = self._live.get(query_id)
        return next((each for each in (row, live) if each is not None and each.sound), None)

    def _untold(self) -> list[Query]:
        """Queries that were lost, now or before the last end, and have no receipt yet that says so."""
        found = [self.find(query_id) for query_id in self._reading(lambda shelf: shelf.ids([q.FAILED]))]
        return [one for one in found if one is not None and one.is_lost and one.receipt is None]

    def _lose(self, query_id: int, row: Row) -> Query:
        """Damaged in every copy: the query has failed."""
        LOG.error("query %016x is damaged in every copy", query_id)
        number = row.number if isinstance(row.number, int) else self._next
        query = lost(query_id, number)
        try:
            query = self._write(query)
        except BROKEN as error:
            LOG.error("that cannot be written now: %s", error)
        self.found.lost.append(query)
        return query


def _query(row: Row) -> Query:
    return row.query().with_changes(sha256=row.sha256)
