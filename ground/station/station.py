"""The station: all sessions over one link. Sans-I/O: packets and `now` in, packets out, changes for the archive.

The owner of the link pulls: whenever the uplink is free it asks for the next command, so nothing waits in a queue where
it would grow old, and the link's rate is the only pace. A window bounds how many questions are on board at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ground.archive.batch import Batch, EventEntry, PacketEntry, PassEntry, Sample
from ground.instant import Instant
from ground.order import Order, State
from ground.record import Record
from ground.station.chores import Chores
from ground.station.contacts import Contacts, Sky
from ground.station.orders import Orders
from ground.station.parts import Part
from ground.station.sequence import Sequence
from ground.station.session import Session, Want
from ground.station.timing import Timing
from spacelink import DICTIONARY, PacketRefused, Report, pack_command, request_id, unpack_report

GRAIN = 1e-3
"""Least step towards a moment of mission time, s: unix time as a float resolves no better than 0.2 us."""

REQUESTS_KEPT = 8192
"""Request ids of all sessions that may still be answered: half a round of sequence counts."""


@dataclass(frozen=True)
class Outgoing:
    """A telecommand to radiate now; tell `sent` how many bytes it took on the link."""

    packet: bytes
    name: str
    query_id: int
    """0 for commands that belong to no query."""


class Station:
    """Sessions, sequence counts, and what the spacecraft said that belongs to no query."""

    def __init__(
        self,
        contacts: Contacts,
        timing: Timing,
        *,
        window: int,
        speed: float = 1.0,
        sequence: int = 0,
        keep_packets: bool = False,
    ) -> None:
        self.contacts = contacts
        self.sessions: dict[int, Session] = {}
        self.counters: Counter[str] = Counter()
        self.heard: float | None = None
        """Mission time of the last packet."""
        self.scenes: list[dict[str, Any]] | None = None
        """Scenes on board as last reported."""
        self.model: dict[str, Any] | None = None
        """The model as the spacecraft last named it."""
        self.strays: set[int] = set()
        """Queries that ended on board and have no session here: the owner may find them in the archive and `revive`."""
        self.batch = Batch()
        """Changes since the owner last took them."""
        self._timing = timing
        self._window = window
        self._speed = speed
        self._sequence = Sequence(sequence)
        self._chores = Chores(timing.repeat)
        self._orders = Orders(timing.repeat)
        self._requests: dict[str, int] = {}
        self._sky: Sky | None = None
        self._pass: PassEntry | None = None
        self._keep_packets = keep_packets

    # What people want.

    def submit(self, record: Record, now: Instant, parts: Iterable[Part] = ()) -> Session:
        """Take up a query that the archive holds, new or from before a restart."""
        session = Session(record, self._timing, parts)
        session.hurry(now)
        self.sessions[record.query_id] = session
        for request in session.requests:
            self._requests[request] = record.query_id
        return session

    def revive(self, record: Record, now: Instant) -> None:
        """Take up a query that had been closed: the spacecraft still keeps it, and would for ever."""
        record.closed = False
        self.submit(record, now)

    def cancel(self, query_id: int, now: Instant) -> bool:
        """Cancel a query; False when there is nothing left to cancel."""
        session = self.sessions.get(query_id)
        if session is None or session.record.ended:
            return False
        session.cancel(now)
        self._collect(session)
        return True

    def order(self, name: str, args: dict[str, Any], now: Instant, wait_s: float) -> Order:
        """Take a person's telecommand, which `ground.order.checked` has passed, for at most `wait_s` real seconds."""
        order = self._orders.give(name, args, now, wait_s)
        words = " ".join([name, *(f"{key}={value}" for key, value in args.items())])
        self.note("informative", "ground.command_given", f"Command given: {words}.", now, command=name, args=args)
        return order

    def look(self, now: Instant) -> None:
        """Ask which scenes are on board, unless that is under way."""
        self._chores.want("inference.list_scenes", now)

    # The link.

    def sky(self, now: Instant) -> Sky:
        """The contact plan at this moment. Notices AOS and LOS."""
        sky = self.contacts.at(now.mission)
        before, self._sky = self._sky, sky
        if before is None or before.in_contact != sky.in_contact or before.start != sky.start:
            self._turn(sky, now)
        return sky

    def _turn(self, sky: Sky, now: Instant) -> None:
        if self._pass is not None:
            self._keep_pass(los=now.mission)
            self._pass = None
        for session in list(self.sessions.values()):
            session.story.changed = True
            if sky.in_contact:
                session.hurry(now)
            self._collect(session)
        if sky.in_contact:
            self._pass = PassEntry(now.mission, None, sky.owlt, 0, 0, 0)
            self._keep_pass()
            self._chores.want("inference.list_scenes", now)
            self._chores.want("health.request", now)

    def _keep_pass(self, **changes: Any) -> None:
        if self._pass is not None:
            self._pass = PassEntry(**{**vars(self._pass), **changes})
            self.batch.passes[self._pass.aos] = self._pass

    def wake(self, now: Instant) -> float:
        """Monotonic time at which `command` has something to say, or the sky changes; infinite for never."""
        sky = self.sky(now)
        turn = sky.los if sky.in_contact else sky.aos
        lapse = min((session.lapses for session in self.sessions.values()), default=math.inf)
        change = min(math.inf if turn is None else turn, lapse)
        later = now.mono + max(GRAIN, change - now.mission) / self._speed
        if not sky.in_contact:
            return later
        return min(later, self._orders.due, self._chores.due, min((s.due for s in self._ready()), default=math.inf))

    def _ready(self) -> list[Session]:
        """Sessions that may send: those under way, and as many new ones as the window has places for."""
        places = self._window - sum(session.waits_for_answer for session in self.sessions.values())
        ready = []
        for session in self.sessions.values():
            fresh = session.want is Want.ASK and not session.waits_for_answer
            if fresh and places <= 0:
                continue
            places -= fresh
            ready.append(session)
        return ready

    def command(self, now: Instant) -> Outgoing | None:
        """The next telecommand that is due, oldest claim first; None when there is none."""
        sky = self.sky(now)
        for session in [each for each in self.sessions.values() if each.lapses <= now.mission]:
            session.lapse(now)
            self._collect(session)
        if not sky.in_contact:
            return None
        rtt = 2 * sky.owlt / self._speed
        if order := self._orders.command(now, rtt):
            return self._radiate(order.name, order.args, None, now, order)
        while due := [session for session in self._ready() if session.due <= now.mono]:
            session = min(due, key=lambda each: each.due)
            told = session.command(now, rtt)
            if told is not None:
                return self._radiate(*told, session, now)
            self._collect(session)
        chore = self._chores.command(now, rtt)
        return self._radiate(chore, {}, None, now) if chore else None

    def _radiate(
        self, name: str, args: dict[str, Any], session: Session | None, now: Instant, order: Order | None = None
    ) -> Outgoing:
        reserved = self._sequence.reserved
        packet = pack_command(name, args, seq=self._sequence.take())
        if self._sequence.reserved != reserved:
            self.batch.facts["sequence"] = {"next": self._sequence.reserved}
            self.batch.durable = True
        self.counters["commands"] += 1
        if self._pass is not None:
            self._keep_pass(commands=self._pass.commands + 1)
        query_id = session.record.query_id if session else 0
        request = request_id(packet).hex()
        self._requests.pop(request, None)  # a round later the same id means another command
        self._requests[request] = query_id
        self._orders.sent(request, order)
        while len(self._requests) > REQUESTS_KEPT:
            self._requests.pop(next(iter(self._requests)))
        if session is not None:
            session.sent(request, name)
            self._collect(session)
        if self._keep_packets:
            self.batch.packets.append(PacketEntry(now.mission, "up", packet))
        return Outgoing(packet, name, query_id)

    def sent(self, out: Outgoing, size: int) -> None:
        """The command is on the link, as `size` bytes."""
        self.counters["bytes_up"] += size
        session = self.sessions.get(out.query_id)
        if session is not None:
            session.record.bytes_up += size
            session.story.changed = True
            self._collect(session)

    def receive(self, packets: Iterable[bytes], now: Instant) -> None:
        """Take in telemetry packets in the order in which they came. What cannot be read is counted."""
        for packet in packets:
            self.counters["packets"] += 1
            self.counters["bytes_down"] += len(packet)
            if self._keep_packets:
                self.batch.packets.append(PacketEntry(now.mission, "down", packet))
            try:
                report = unpack_report(packet)
            except PacketRefused as refused:
                self.counters[f"refused_{refused.reason}"] += 1
                continue
            self.heard = now.mission
            if self._pass is not None:
                self._keep_pass(packets=self._pass.packets + 1)
            self._report(report, len(packet), now)

    def _report(self, report: Report, size: int, now: Instant) -> None:
        args = report.args
        if report.service == 1:
            request = bytes(args["request_id"]).hex()
            query_id = self._requests.get(request)
            kind = report.name.removeprefix("verification.")
            reason, detail = str(args.get("reason", "")), str(args.get("detail", ""))
            if order := self._orders.verified(request, kind, reason, detail):
                severity = "informative" if order.state is State.COMPLETED else "low"
                self.note(severity, "ground.command_answered", order.sentence, now, command=order.name)
            session = self.sessions.get(query_id or 0)
            if session is not None:
                session.verified(report, request, size, now)
                self._collect(session)
            elif query_id is None:
                self.counters["reports_unmatched"] += 1
        elif "query_id" in args:
            session = self.sessions.get(int(args["query_id"]))
            if session is None:
                self.counters["reports_unmatched"] += 1
                if report.name == "inference.receipt":
                    self.strays.add(int(args["query_id"]))
                return
            session.heard(report, size, now)
            if report.name == "inference.receipt" and args["model"]:
                self._model(str(args["model"]), bytes(args["model_sha256"]).hex(), now)
            self._collect(session)
        elif report.name == "event":
            self._event(report, now)
        elif report.name == "health.housekeeping":
            self._chores.done("health.request")
            self.batch.samples += [
                _sample(name, value, report.time) for name, value in args.items() if name != "structure"
            ]
        elif report.name == "inference.scenes":
            self._chores.done("inference.list_scenes")
            self.scenes = [
                {"name": s["name"], "bytes": s["bytes"], "sha256": s["sha256"].hex()} for s in args["scenes"]
            ]
        else:
            self._other(report, now)

    def _other(self, report: Report, now: Instant) -> None:
        """A report that was commanded and has no place of its own, such as `integrity.status`: kept as an event."""
        self.counters[f"other_{report.name}"] += 1
        args = {name: _plain(value) for name, value in report.args.items()}
        text = ", ".join(f"{name} {value}" for name, value in args.items() if value != "")
        text = text or DICTIONARY.reports[report.name].description
        self.batch.events.append(EventEntry(report.time, now.mission, "flight", report.name, "informative", text, args))

    def _event(self, report: Report, now: Instant) -> None:
        args = report.args
        entry = EventEntry(
            time=report.time,
            received=now.mission,
            source="flight",
            name=str(args["event"]),
            severity=str(args["severity"]),
            text=str(args["text"]),
            args={name: _plain(value) for name, value in args["args"].items()},
        )
        self.batch.events.append(entry)
        if entry.name == "inference.model_loaded":
            self._model(str(args["args"]["name"]), "", now)

    def _model(self, name: str, sha256: str, now: Instant) -> None:
        if self.model is None or self.model["name"] != name or (sha256 and self.model["sha256"] != sha256):
            self.model = {"name": name, "sha256": sha256, "seen": now.mission}
            self.batch.facts["model"] = self.model

    def note(self, severity: str, name: str, text: str, now: Instant, **args: Any) -> None:
        """An event of the station's own."""
        self.batch.events.append(EventEntry(now.mission, now.mission, "ground", name, severity, text, args))

    # Changes.

    def _collect(self, session: Session) -> None:
        """Move a session's changes into the batch; a closed session leaves."""
        record, story, texts = session.record, session.story, session.texts
        if story.changed:
            self.batch.records[record.query_id] = record
        if texts.dropped:
            self.batch.dropped.add(record.query_id)
            self.batch.parts.pop(record.query_id, None)
        if texts.fresh:
            self.batch.parts.setdefault(record.query_id, []).extend(texts.fresh)
        if story.just_delivered and self._pass is not None:
            self._keep_pass(delivered=self._pass.delivered + 1)
        if story.mismatched:
            self.counters["texts_mismatched"] += 1
        self.batch.durable |= story.durable
        story.settled()
        if record.closed:
            self.sessions.pop(record.query_id, None)

    def take(self) -> Batch:
        """Changes since the last call; the caller writes them before it pulls another command if they are durable."""
        batch, self.batch = self.batch, Batch()
        return batch


def _plain(value: Any) -> Any:
    """A value as JSON can carry it without loss: bytes and 64-bit ids as hex, no NaN."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int) and abs(value) >= 2**53:
        return f"{value:016x}"
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _sample(channel: str, value: Any, time: float) -> Sample:
    if isinstance(value, str):
        return Sample(channel, time, None, value)
    number = float(value) if value is not None else math.nan
    return Sample(channel, time, number if math.isfinite(number) else None)
