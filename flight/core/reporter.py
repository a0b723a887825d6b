"""Reports and events on their way down: packed from the dictionary, numbered, put on their channel. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flight.core.moment import Moment
from spacelink import DICTIONARY, pack_event, pack_report

SEQUENCE_COUNTS = 16384
"""CCSDS 133.0-B-2 clause 4.1.3.4: 14 bits."""

EVENT_PERIOD_S = 1.0
"""Least time between two events of one kind that an outsider can provoke at will."""

ANSWERS = ("inference.segment",)
"""Reports that travel on the answers' virtual channel; all others are urgent."""


class Reporter:
    """Packs and numbers. `push(packet, vc)` takes the packets, `keep(name, args, mission time)` the events."""

    def __init__(
        self,
        push: Callable[[bytes, int], None],
        keep: Callable[[str, Mapping[str, Any], float], None],
        backlog: Callable[[], bool] = lambda: False,
    ) -> None:
        self._push = push
        self._keep = keep
        self._backlog = backlog
        self._channels = DICTIONARY.spacecraft.virtual_channels
        self._sequence = 0
        self._last: dict[tuple[str, str], float] = {}
        self.events = 0
        self.dropped = 0

    def report(self, name: str, args: Mapping[str, Any], now: Moment) -> None:
        """Send a report."""
        vc = self._channels["answers" if name in ANSWERS else "reports"]
        self._push(pack_report(name, args, seq=self._next(), time=now.mission), vc)

    def report_if_room(self, name: str, args: Mapping[str, Any], now: Moment) -> None:
        """Send a report that the next one makes stale anyway, unless the downlink is behind."""
        if self._backlog():
            self.dropped += 1
        else:
            self.report(name, args, now)

    def event(self, name: str, args: Mapping[str, Any], now: Moment) -> None:
        """Send and keep an event."""
        self.events += 1
        self._keep(name, args, now.mission)
        self._push(pack_event(name, args, seq=self._next(), time=now.mission), self._channels["reports"])

    def event_at_times(self, name: str, kind: str, args: Mapping[str, Any], now: Moment) -> None:
        """Send an event, at most once per kind and second: bad input must not fill journal and downlink."""
        last = self._last.get((name, kind))
        if last is None or now.monotonic - last >= EVENT_PERIOD_S:
            self._last[name, kind] = now.monotonic
            self.event(name, args, now)

    # Service 1, request verification (ECSS-E-ST-70-41C clause 6.1).

    def accepted(self, request_id: bytes, now: Moment) -> None:
        self.report("verification.accepted", {"request_id": request_id}, now)

    def rejected(self, request_id: bytes, reason: str, detail: str, now: Moment) -> None:
        self.report("verification.rejected", {"request_id": request_id, "reason": reason, "detail": detail}, now)

    def started(self, request_id: bytes, now: Moment) -> None:
        self.report("verification.started", {"request_id": request_id}, now)

    def start_failed(self, request_id: bytes, reason: str, detail: str, now: Moment) -> None:
        self.report("verification.start_failed", {"request_id": request_id, "reason": reason, "detail": detail}, now)

    def step(self, request_id: bytes, step: str, now: Moment) -> None:
        self.report("verification.step", {"request_id": request_id, "step": step}, now)

    def completed(self, request_id: bytes, now: Moment) -> None:
        self.report("verification.completed", {"request_id": request_id}, now)

    def failed(self, request_id: bytes, reason: str, detail: str, now: Moment) -> None:
        self.report("verification.failed", {"request_id": request_id, "reason": reason, "detail": detail}, now)

    def _next(self) -> int:
        number = self._sequence
        self._sequence = (number + 1) % SEQUENCE_COUNTS
        return number
