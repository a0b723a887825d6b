"""The station's state in the shapes of the API."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ground.api.schemas import Latest, Link, Pass, Status
from ground.api.view import query_view
from ground.archive import PassEntry
from ground.instant import iso
from ground.question import QUESTION_BYTES
from ground.station.operator import Operator
from spacelink import DICTIONARY


class Glance:
    """Looks at an operator."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        try:
            self._version = version("orbitlm")
        except PackageNotFoundError:
            self._version = "unknown"

    def query(self, query_id: str) -> str:
        """One query as JSON."""
        now = self._operator.now()
        record = self._operator.record(int(query_id, 16))
        if record is None:
            return "{}"
        in_contact = self._operator.station.sky(now).in_contact
        believed = self._operator.believed()
        return query_view(record, now, in_contact=in_contact, believed=believed).model_dump_json()

    def status(self) -> Status:
        """The station at a glance."""
        operator = self._operator
        now, station = operator.now(), operator.station
        return Status(
            time=iso(now.mission),
            speed=operator.speed,
            version=self._version,
            dictionary=DICTIONARY.sha256[:16],
            model=station.model["name"] if station.model else None,
            open=sum(not session.record.ended for session in station.sessions.values()),
            question_bytes=QUESTION_BYTES,
            link=self.link(),
        )

    def link(self) -> Link:
        """The link."""
        operator = self._operator
        now, station = operator.now(), operator.station
        sky = station.sky(now)
        heard = station.heard
        quiet_s = operator.settings.station.stale_s * operator.speed
        aos = None if sky.in_contact else sky.aos
        clcw = operator.downlink.clcw
        return Link(
            in_contact=sky.in_contact,
            aos=iso(aos) if aos is not None else None,
            los=iso(sky.los) if sky.los is not None else None,
            aos_in_s=round(aos - now.mission, 3) if aos is not None else None,
            los_in_s=round(sky.los - now.mission, 3) if sky.los is not None else None,
            owlt_s=sky.owlt,
            uplink_bps=sky.rate_bps,
            heard=iso(heard) if heard is not None else None,
            stale=sky.in_contact and (heard is None or now.mission - heard > quiet_s),
            clcw=asdict(clcw) if clcw else None,
            authenticated=False,
            counters=operator.counters(),
        )

    def passes(self) -> list[Pass]:
        """Contacts of the plan with what happened in them; without a plan, those that were."""
        operator = self._operator
        now = operator.now().mission
        went = operator.archive.passes()
        windows = operator.station.contacts.windows()
        shown = []
        for window in windows:
            during = [each for each in went if window.start <= each.aos < window.end]
            state = "past" if window.end <= now else "now" if window.start <= now else "next"
            shown.append(self._pass(window.start, window.end, window.owlt, window.rate_bps, state, during))
        if not windows:
            for each in went:
                last = each is went[-1] and each.los is None
                shown.append(self._pass(each.aos, each.los, each.owlt, None, "now" if last else "past", [each]))
        return shown

    @staticmethod
    def _pass(
        aos: float, los: float | None, owlt: float, rate: float | None, state: str, went: list[PassEntry]
    ) -> Pass:
        return Pass(
            aos=iso(aos),
            los=iso(los) if los is not None else None,
            owlt_s=owlt,
            rate_bps=rate,
            state=state,
            commands=sum(each.commands for each in went),
            packets=sum(each.packets for each in went),
            delivered=sum(each.delivered for each in went),
        )

    def latest(self) -> list[Latest]:
        """The newest value of each channel, in the order of the dictionary, held against its limits."""
        return [self._latest(row) for row in self._operator.archive.latest(DICTIONARY.channels)]

    @staticmethod
    def _latest(row: dict[str, Any]) -> Latest:
        channel = DICTIONARY.channels[row["channel"]]
        limit = "unknown" if row["value"] is None and row["text"] is None else "ok"
        if row["value"] is not None:
            if channel.soft.low is not None and row["value"] < channel.soft.low:
                limit = "low"
            elif channel.soft.high is not None and row["value"] > channel.soft.high:
                limit = "high"
        return Latest(
            channel=row["channel"],
            title=channel.title,
            unit=channel.unit,
            limit=limit,
            time=iso(row["time"]),
            value=row["value"],
            text=row["text"],
        )
