"""What is written together: one batch, one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ground.record import Record
from ground.station.parts import Part


@dataclass(frozen=True)
class EventEntry:
    """One event. `source` is `flight` or `ground`; times are mission time."""

    time: float
    received: float
    source: str
    name: str
    severity: str
    text: str
    args: dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """One telemetry value: a number, or a text where the channel has no number."""

    channel: str
    time: float
    value: float | None
    text: str | None = None


@dataclass(frozen=True)
class PacketEntry:
    """One packet as it was on the link; `direction` is `up` or `down`."""

    time: float
    direction: str
    data: bytes


@dataclass(frozen=True)
class PassEntry:
    """One contact as it went; `los` is None while it lasts."""

    aos: float
    los: float | None
    owlt: float
    commands: int
    packets: int
    delivered: int


@dataclass
class Batch:
    """Changes since the last write."""

    records: dict[int, Record] = field(default_factory=dict)
    parts: dict[int, list[Part]] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    """Queries whose stored segments are void; written before `parts`."""
    events: list[EventEntry] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    packets: list[PacketEntry] = field(default_factory=list)
    passes: dict[float, PassEntry] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    durable: bool = False
    """A promise hangs on it: on disk before anything else leaves the station."""

    def __bool__(self) -> bool:
        return bool(
            self.records or self.parts or self.dropped or self.events or self.samples or self.packets or self.passes
            or self.facts
        )  # fmt: skip

    def add(self, newer: Batch) -> None:
        """Take in what came after: a later record or fact stands for the earlier one."""
        for query_id in newer.dropped:
            self.parts.pop(query_id, None)
        self.dropped |= newer.dropped
        for query_id, parts in newer.parts.items():
            self.parts.setdefault(query_id, []).extend(parts)
        self.records |= newer.records
        self.events += newer.events
        self.samples += newer.samples
        self.packets += newer.packets
        self.passes |= newer.passes
        self.facts |= newer.facts
        self.durable |= newer.durable
