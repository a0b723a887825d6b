"""The archive's one door: batches in, history out. Synchronous; the station is its only writer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, delete, event, func, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from ground.archive.batch import Batch, PassEntry
from ground.archive.rows import record_of, row_of
from ground.archive.tables import (
    EventRow,
    FactRow,
    PacketRow,
    PassRow,
    QueryRow,
    SampleRow,
    SegmentRow,
    Table,
)
from ground.errors import ArchiveError, QueryAmbiguous, QueryNotFound, SettingsRefused
from ground.record import Record
from ground.settings import ArchiveSettings
from ground.station.parts import Part

PRUNE_EVERY = 5_000
"""Rows of one table written between two looks at its bound."""


class Archive:
    """Opens the database at `url` (SQLAlchemy address) and makes its tables if they are not there."""

    def __init__(self, url: str, settings: ArchiveSettings | None = None) -> None:
        self._settings = settings or ArchiveSettings()
        self._engine = _engine(url)
        self._written: dict[type[Table], int] = {}
        try:
            with self._errors("opened"):
                Table.metadata.create_all(self._engine)
        except ArchiveError:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections; the journal of SQLite is folded in by the last one."""
        self._engine.dispose()

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise ArchiveError(
                f"The archive {self._engine.url.render_as_string()} cannot be {what}: {cause}."
            ) from error

    # Writing.

    def write(self, batch: Batch) -> None:
        """Write a batch in one transaction; a durable one is on disk when this returns."""
        with self._errors("written"), self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                # NORMAL survives the death of the process, FULL that of the machine.
                connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if batch.durable else 'NORMAL'}")
                connection.commit()
            with connection.begin():
                self._write(connection, batch)

    def _write(self, connection: Connection, batch: Batch) -> None:
        if batch.records:
            _upsert(connection, QueryRow, [row_of(record) for record in batch.records.values()])
        for query_id in batch.dropped:
            connection.execute(delete(SegmentRow).where(SegmentRow.query_id == f"{query_id:016x}"))
        parts = [
            {"query_id": f"{query_id:016x}", "kind": p.kind, "attempt": p.attempt, "number": p.number, "data": p.data}
            for query_id, each in batch.parts.items()
            for p in each
        ]
        if parts:
            _upsert(connection, SegmentRow, parts)
        for record in batch.records.values():
            if record.closed:
                connection.execute(delete(SegmentRow).where(SegmentRow.query_id == record.hex))
        self._append(connection, EventRow, batch.events, self._settings.event_rows)
        self._append(connection, SampleRow, batch.samples, self._settings.telemetry_rows)
        self._append(connection, PacketRow, batch.packets, self._settings.packet_rows)
        if batch.passes:
            _upsert(connection, PassRow, [dict(vars(each)) for each in batch.passes.values()])
        if batch.facts:
            _upsert(connection, FactRow, [{"name": name, "value": value} for name, value in batch.facts.items()])

    def _append(self, connection: Connection, table: Any, entries: Sequence[object], bound: int) -> None:
        if not entries:
            return
        connection.execute(insert(table), [dict(vars(entry)) for entry in entries])
        written = self._written.get(table, PRUNE_EVERY) + len(entries)
        if written >= PRUNE_EVERY:
            newest = connection.scalar(select(func.max(table.id))) or 0
            connection.execute(delete(table).where(table.id <= newest - bound))
            written = 0
        self._written[table] = written

    # Queries.

    def open_queries(self) -> list[tuple[Record, list[Part]]]:
        """Every query that is not closed, oldest first, with its segments."""
        with self._reading() as session:
            rows = session.scalars(select(QueryRow).where(QueryRow.closed.is_(False)).order_by(QueryRow.created)).all()
            parts: dict[str, list[Part]] = {row.id: [] for row in rows}
            if rows:
                for each in session.scalars(select(SegmentRow)):
                    if each.query_id in parts:
                        parts[each.query_id].append(Part(each.kind, each.number, each.attempt, each.data))
            return [(record_of(row), parts[row.id]) for row in rows]

    def query(self, query_id: int) -> Record | None:
        """One query, or None."""
        with self._reading() as session:
            row = session.get(QueryRow, f"{query_id:016x}")
            return record_of(row) if row else None

    def find(self, prefix: str) -> int:
        """The id that begins with `prefix` (hex). Raises QueryNotFound or QueryAmbiguous."""
        wanted = prefix.lower()
        if not wanted or len(wanted) > 16 or wanted.strip("0123456789abcdef"):
            raise QueryNotFound(f"A query id is up to 16 hex digits, found '{prefix[:40]}'.")
        with self._reading() as session:
            found = session.scalars(select(QueryRow.id).where(QueryRow.id.startswith(wanted)).limit(3)).all()
        if not found:
            raise QueryNotFound(f"There is no query that begins with '{wanted}'.")
        if len(found) > 1:
            raise QueryAmbiguous(f"Several queries begin with '{wanted}': {', '.join(found)} …; add a digit.")
        return int(found[0], 16)

    def queries(self, limit: int, before: float | None = None) -> list[Record]:
        """Queries, newest first; `before` pages on from a creation time."""
        chosen = select(QueryRow).order_by(QueryRow.created.desc(), QueryRow.id).limit(limit)
        if before is not None:
            chosen = chosen.where(QueryRow.created < before)
        with self._reading() as session:
            return [record_of(row) for row in session.scalars(chosen)]

    def answered(self, question: str, answer: str) -> list[Record]:
        """Delivered queries with exactly this question and answer, newest first."""
        chosen = (
            select(QueryRow)
            .where(QueryRow.question == question, QueryRow.answer == answer, QueryRow.leg == "DELIVERED")
            .order_by(QueryRow.created.desc())
            .limit(50)
        )
        with self._reading() as session:
            return [record_of(row) for row in session.scalars(chosen)]

    # History.

    def events(self, limit: int, severity: Sequence[str] = (), since_id: int = 0) -> list[dict[str, Any]]:
        """Events, newest first."""
        chosen = select(EventRow).where(EventRow.id > since_id).order_by(EventRow.id.desc()).limit(limit)
        if severity:
            chosen = chosen.where(EventRow.severity.in_(severity))
        return self._rows(chosen, ("id", "time", "received", "source", "name", "severity", "text", "args"))

    def latest(self, channels: Iterable[str]) -> list[dict[str, Any]]:
        """The newest sample of each of these channels that has one, in their order."""
        newest = select(SampleRow).order_by(SampleRow.time.desc()).limit(1)
        with self._reading() as session:
            # One look into the index for each channel: grouping would read every sample.
            rows = [session.scalar(newest.where(SampleRow.channel == channel)) for channel in channels]
        names = ("channel", "time", "value", "text")
        return [{name: getattr(row, name) for name in names} for row in rows if row is not None]

    def history(self, channel: str, start: float | None, end: float | None, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` samples of a channel between two mission times, oldest first."""
        chosen = select(SampleRow).where(SampleRow.channel == channel).order_by(SampleRow.time.desc()).limit(limit)
        if start is not None:
            chosen = chosen.where(SampleRow.time >= start)
        if end is not None:
            chosen = chosen.where(SampleRow.time <= end)
        return self._rows(chosen, ("time", "value", "text"))[::-1]

    def passes(self) -> list[PassEntry]:
        """Contacts as they went, oldest first."""
        with self._reading() as session:
            return [
                PassEntry(row.aos, row.los, row.owlt, row.commands, row.packets, row.delivered)
                for row in session.scalars(select(PassRow).order_by(PassRow.aos))
            ]

    def fact(self, name: str) -> dict[str, Any] | None:
        """A fact of the station, or None."""
        with self._reading() as session:
            row = session.get(FactRow, name)
            return row.value if row else None

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with self._errors("read"), Session(self._engine) as session:
            yield session

    def _rows(self, chosen: Any, names: Sequence[str]) -> list[dict[str, Any]]:
        with self._reading() as session:
            return [{name: getattr(row, name) for name in names} for row in session.scalars(chosen)]


def _engine(url: str) -> Engine:
    try:
        engine = create_engine(make_url(url))
    except NoSuchModuleError as error:
        raise SettingsRefused(f"Setting archive.url: no driver for '{url.split(':')[0]}' is known.") from error
    except ArgumentError as error:
        raise SettingsRefused("Setting archive.url: expected an SQLAlchemy address such as sqlite:///file.") from error
    except ModuleNotFoundError as error:
        raise SettingsRefused(f"Setting archive.url: its driver is missing; pip install '{error.name}'.") from error
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _prepare(connection: Any, _: object) -> None:
            try:
                for pragma in ("journal_mode = WAL", "busy_timeout = 5000"):
                    connection.execute(f"PRAGMA {pragma}")
            except Exception:
                connection.close()  # no pool knows it yet
                raise

    return engine


def _upsert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or replace those with the same primary key, in one statement of the dialect."""
    name = connection.dialect.name
    if name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as dialect_insert
    else:
        from sqlalchemy.dialects.sqlite import insert as dialect_insert  # type: ignore[assignment]
    keys = [column.name for column in table.__table__.primary_key]
    statement = dialect_insert(table)
    rest = {column: statement.excluded[column] for column in rows[0] if column not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest), rows)
