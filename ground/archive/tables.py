"""Tables of the archive. Times are mission time in unix seconds, UTC."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

RowId = BigInteger().with_variant(Integer, "sqlite")


class Table(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {dict[str, Any]: JSON, bytes: LargeBinary}  # noqa: RUF012 - SQLAlchemy's own way


class QueryRow(Table):
    """One query: the columns are what is searched for, `state` is the whole record."""

    __tablename__ = "queries"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    created: Mapped[float] = mapped_column(index=True)
    leg: Mapped[str] = mapped_column(String(16), index=True)
    closed: Mapped[bool] = mapped_column(index=True)
    question: Mapped[str] = mapped_column(Text, index=True)
    answer: Mapped[str] = mapped_column(Text)
    asked: Mapped[dict[str, Any]]
    state: Mapped[dict[str, Any]]


class SegmentRow(Table):
    """One segment of an answer that is not complete yet; gone once the query is closed."""

    __tablename__ = "segments"

    query_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    kind: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]


class EventRow(Table):
    """One event, of the spacecraft or of the station."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    time: Mapped[float] = mapped_column(index=True)
    received: Mapped[float]
    source: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(80))
    severity: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)
    args: Mapped[dict[str, Any]]


class SampleRow(Table):
    """One value of one telemetry channel."""

    __tablename__ = "telemetry"
    __table_args__ = (Index("telemetry_by_channel", "channel", "time"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    channel: Mapped[str] = mapped_column(String(40))
    time: Mapped[float]
    value: Mapped[float | None]
    text: Mapped[str | None] = mapped_column(Text)


class PassRow(Table):
    """One contact as it went: what the station did and heard in it."""

    __tablename__ = "passes"

    aos: Mapped[float] = mapped_column(primary_key=True)
    los: Mapped[float | None]
    owlt: Mapped[float]
    commands: Mapped[int]
    packets: Mapped[int]
    delivered: Mapped[int]


class PacketRow(Table):
    """One packet as it was on the link, if the settings say to keep them."""

    __tablename__ = "packets"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    time: Mapped[float]
    direction: Mapped[str] = mapped_column(String(4))
    data: Mapped[bytes]


class FactRow(Table):
    """A small fact of the station: the next sequence count, the last model heard of."""

    __tablename__ = "facts"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[dict[str, Any]]
