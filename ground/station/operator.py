"""The operator: the one who holds station, archive, radio and clock together. All I/O of the station is here.

Everything runs in one event loop and nothing sleeps in between: a datagram or a question wakes the station at once, one
timer wakes it when something falls due. What was promised is on disk before the next command leaves.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import Any

from ground.archive import Archive, Batch
from ground.errors import ArchiveError
from ground.feed import EVENTS, LINK, TELEMETRY, Feed
from ground.instant import Instant
from ground.legs import Leg
from ground.order import Order
from ground.question import Question, new_id
from ground.record import Evidence, Record
from ground.seal import Trust, trust
from ground.settings import GroundSettings
from ground.station.contacts import Contacts
from ground.station.radio import Radio
from ground.station.station import Station
from ground.station.timing import Timing
from spacelink import DownlinkReceiver, MissionClock, UplinkSender

log = logging.getLogger(__name__)

DISK_RETRY_S = 1.0
"""Pause before the archive is tried again after it could not be written."""

LOOK_S = 5.0
"""Least time between two questions for the scenes on board."""


class Operator:
    """Runs the station. `start` inside an event loop, `stop` at the end."""

    def __init__(self, settings: GroundSettings, archive: Archive, contacts: Contacts, clock: MissionClock) -> None:
        self.settings = settings
        self.archive = archive
        self.feed = Feed()
        self.downlink = DownlinkReceiver()
        self._uplink = UplinkSender()
        self._clock = clock
        stored = archive.fact("sequence") or {"next": 0}
        self.station = Station(
            contacts,
            Timing.of(settings.station),
            window=settings.station.window,
            speed=clock.speed,
            sequence=int(stored["next"]),
            keep_packets=settings.archive.raw_packets,
        )
        self.station.model = archive.fact("model")
        self.radio = Radio(settings.link, self._hear)
        self.broken: BaseException | None = None
        """The mistake that ended the station's work; whoever serves it ends then."""
        self._unwritten = Batch()
        self._failing = False
        self._heard: list[list[bytes]] = []
        self._free_at = 0.0
        self._looked = -LOOK_S
        self._flush: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def speed(self) -> float:
        """Mission seconds in one real second."""
        return self._clock.speed

    def now(self) -> Instant:
        """Both clocks."""
        mono = time.monotonic()
        return Instant(mono, self._clock.at(mono))

    def start(self) -> None:
        """Take up every open query and listen."""
        self._loop = asyncio.get_running_loop()
        now = self.now()
        opened = self.archive.open_queries()
        for record, parts in opened:
            self.station.submit(record, now, parts)
        self.station.note("informative", "ground.started", f"Station started with {len(opened)} open queries.", now)
        self.radio.start(self._loop)
        self._pump()

    def stop(self) -> None:
        """Stop listening, end all streams, and write what is not written yet."""
        for handle in (self._flush, self._alarm):
            if handle is not None:
                handle.cancel()
        self._loop = None
        self.feed.close()
        self.radio.close()
        self._commit()

    # What people want.

    def ask(self, asked: Question) -> Record:
        """Store a question, then send it as soon as the sky allows. Raises ArchiveError when it cannot be stored."""
        now = self.now()
        record = Record(new_id(), asked, now.mission)
        record.mark(Leg.QUEUED, Evidence(now.mission, now.mission))
        self.archive.write(Batch(records={record.query_id: record}, durable=True))
        self.station.submit(record, now)
        self.feed.tell([record.hex])
        self._pump()
        return record

    def cancel(self, query_id: int) -> bool:
        """Cancel a query; False when it has ended already."""
        done = self.station.cancel(query_id, self.now())
        self._pump()
        return done

    def command(self, name: str, args: dict[str, Any], wait_s: float) -> Order:
        """Send a telecommand of a person, at most for `wait_s` real seconds; the order tells how far it has come."""
        order = self.station.order(name, args, self.now(), wait_s)
        self._pump()
        return order

    def look(self) -> None:
        """Ask the spacecraft which scenes it has, unless that was done a moment ago."""
        now = self.now()
        if now.mono - self._looked >= LOOK_S:
            self._looked = now.mono
            self.station.look(now)
            self._pump()

    def find(self, prefix: str) -> Record:
        """The query whose id begins with `prefix`, as live as it is. Raises QueryNotFound or QueryAmbiguous."""
        query_id = self.archive.find(prefix)
        record = self.record(query_id)
        assert record is not None, "the archive has just found it"
        return record

    def record(self, query_id: int) -> Record | None:
        """One query: from its session, from what is not written yet, or from the archive."""
        session = self.station.sessions.get(query_id)
        if session is not None:
            return session.record
        unwritten = self._unwritten.records.get(query_id) or self.station.batch.records.get(query_id)
        return unwritten or self.archive.query(query_id)

    def records(self, limit: int, before: float | None = None) -> list[Record]:
        """Queries, newest first."""
        return [self.record(each.query_id) or each for each in self.archive.queries(limit, before)]

    def believed(self) -> Trust:
        """The key that receipts are checked with; a file is read each time: flight may write it later."""
        return trust(self.settings.link.receipt_key)

    # The link.

    def _hear(self, datagrams: list[bytes]) -> None:
        self._heard.append(datagrams)
        self._pump()

    def _listen(self) -> None:
        """Take in what the radio heard."""
        heard, self._heard = self._heard, []
        now = self.now()
        for datagrams in heard:
            self.station.receive(self.downlink.receive(datagrams), now)
        for query_id in self.station.strays:
            if record := self.record(query_id):
                self.station.revive(record, now)
        self.station.strays.clear()

    def _pump(self) -> None:
        """Send what is due, keep what has changed, set the alarm for what comes next."""
        try:
            self._step()
        except BaseException as error:
            # A mistake of ours: to end loudly and recover at the next start beats going on half awake.
            self.broken = self.broken or error
            self.feed.close()
            raise

    def _step(self) -> None:
        if self._loop is None:
            return
        self._listen()
        while not self._failing:
            now = self.now()
            if now.mono < self._free_at:
                break
            out = self.station.command(now)
            self._keep()
            if out is None or self._failing:
                break
            cltu = self._uplink.send(out.packet)
            self.radio.send(cltu)
            self.station.sent(out, len(cltu))
            rate = self.station.sky(now).rate_bps
            if rate:
                self._free_at = max(now.mono, self._free_at) + 8 * len(cltu) / (rate * self._clock.speed)
        self._keep()
        self._wind()

    def _wind(self) -> None:
        assert self._loop is not None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._failing:
            return
        wake = max(self.station.wake(self.now()), self._free_at)
        self._alarm = None if math.isinf(wake) else self._loop.call_at(wake, self._pump)

    # The archive.

    def _keep(self) -> None:
        """Take the station's changes: tell the listeners, and write them now or together with others soon."""
        batch = self.station.take()
        if not batch:
            return
        topics = [record.hex for record in batch.records.values()]
        if batch.events:
            topics.append(EVENTS)
        if batch.samples:
            topics.append(TELEMETRY)
        if batch.passes or batch.records:
            topics.append(LINK)
        self._unwritten.add(batch)
        if batch.durable:
            self._commit()
        elif self._flush is None and self._loop is not None:
            self._flush = self._loop.call_later(self.settings.archive.flush_s, self._commit)
        self.feed.tell(topics)

    def _commit(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if not self._unwritten:
            self._failing = False
            return
        try:
            self.archive.write(self._unwritten)
        except ArchiveError as error:
            if not self._failing:
                log.error("%s The uplink rests until it can be written.", error)
            self._failing = True
            if self._loop is not None:
                self._flush = self._loop.call_later(DISK_RETRY_S, self._retry)
            return
        self._unwritten = Batch()
        self._failing = False

    def _retry(self) -> None:
        self._flush = None
        self._commit()
        self._pump()

    # What is known of the link.

    def counters(self) -> dict[str, Any]:
        """All counters of the link, by who counts them."""
        return {
            "uplink": {
                "datagrams": self.radio.counters["datagrams_up"],
                "failures": self.radio.counters["send_failures"],
            },
            "downlink": dict(self.downlink.counters),
            "radio": dict(self.radio.counters),
            "station": dict(self.station.counters),
        }
