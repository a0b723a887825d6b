"""Core, put together: everything that decides, with bytes and the moment going in and packets coming out. Sans-I/O.

`shell` owns the sockets and the clock and calls this; a test does the same without either.
"""

from __future__ import annotations

import logging
from pathlib import Path

from flight.core.bridge import Bridge
from flight.core.commander import Accept, Commander
from flight.core.desk import Desk
from flight.core.housekeeping import Housekeeping
from flight.core.moment import Moment
from flight.core.port import Peer
from flight.core.protection import Protection
from flight.core.reporter import Reporter
from flight.core.runner import Runner
from flight.core.scenes import Scene, SceneFolder
from flight.core.signer import Signer
from flight.core.status import Status
from flight.health.gate import ThermalGate
from flight.health.limits import LimitMonitor
from flight.inference.protocol import parse_indication
from flight.integrity.protocol import parse_indication as parse_scrubber
from flight.settings import FlightSettings, is_loopback, split_address
from flight.store.draft import DraftFile
from flight.store.journal import Journal
from flight.verifier.protocol import parse_indication as parse_gate_indication
from spacelink import DICTIONARY, Command
from spacelink.crc import extension_loaded
from spacelink.downlink import DownlinkSender
from spacelink.uplink import UplinkReceiver

LOG = logging.getLogger("flight.core")


class Core:
    """The spacecraft's side of the link. `version` is what core.noop answers."""

    def __init__(
        self,
        settings: FlightSettings,
        journal: Journal,
        data: Path,
        version: str,
        downlink: DownlinkSender | None = None,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._version = version
        self._moment = Moment(0.0, 0.0)
        spacecraft = DICTIONARY.spacecraft
        self.uplink = UplinkReceiver(spacecraft)
        self.downlink = downlink or DownlinkSender(spacecraft)
        backlog = settings.core.backlog_bytes
        self.reporter = Reporter(self.downlink.push, journal.event, lambda: self.downlink.pending() > backlog)
        scenes = SceneFolder(data / "scenes")
        self._signer = Signer(data)
        draft = DraftFile(data / "draft.bin")
        self.runner = Runner(settings, journal, self.reporter, scenes, draft, self._live_scene, self._signer)
        self.desk = Desk(settings.core, journal, self.reporter, scenes, self.runner)
        self.bridge = Bridge(self.reporter, self._asked, self._heard)
        custody = self.runner.custody
        runner = self.runner
        self.protection = Protection(
            settings.integrity, self.reporter, custody, self._wish, runner.suspect, lambda: runner.gate.facts is None
        )
        self.runner.on_finding = self.protection.found
        handlers = {
            "core.ping": self._ping,
            "core.noop": self._noop,
            "core.reset_counters": self._reset_counters,
            "health.request": self._housekeeping_now,
            **self.desk.handlers(),
            **self.bridge.handlers(),
            **self.protection.handlers(),
        }
        gate = Peer(parse_gate_indication, runner.verifier_indication, runner.verifier_lost, runner.gate.requests)
        self.peers = {
            "engine": Peer(parse_indication, runner.indication, runner.engine_lost, runner.requests),
            "verifier": gate,
            "scrubber": Peer(parse_scrubber, self.protection.heard, self.protection.lost, self.protection.requests),
        }
        """Who decides about each kind of worker."""
        self.commander = Commander(self.uplink, self.reporter, handlers)
        self.housekeeping = Housekeeping(settings, journal, self.reporter, self.commander, self.runner, self.protection)
        self._limits = LimitMonitor(settings.health.persistence)
        self._gate = ThermalGate(settings.health.pause_cpu_degc, settings.health.resume_cpu_degc)

    def start(self, now: Moment, set_aside: str | None) -> None:
        """The first words after a start, and what the journal has left to do."""
        if set_aside:
            self.reporter.event("store.journal_set_aside", {"file": set_aside}, now)
        if not extension_loaded():
            self.reporter.event("core.crc_extension_missing", {}, now)
        if not is_loopback(split_address(self._settings.link.bind, "link.bind")[0]):
            self.reporter.event("core.unauthenticated_link", {"address": self._settings.link.bind}, now)
        if self._settings.faults.allowed:
            self.reporter.event("core.faults_allowed", {}, now)
        self._signer.start(self.reporter, now)
        self._tell_damage(now)
        found = self.runner.recover()
        if found:
            self.reporter.event("core.journal_recovered", {"queries": found}, now)

    def datagram(self, data: bytes, now: Moment) -> None:
        """Take what came up the link."""
        self._moment = now
        self.commander.datagram(data, now)

    def sensors(self, values: dict[str, float | None], now: Moment) -> None:
        """Take a reading of the sensors: limits and the thermal gate."""
        self.housekeeping.sensors = values
        self.runner.energy.reading(values.get("PWR_W"), now.monotonic)
        self.runner.held = self._gate.update(values.get("CPU_T"))
        numbers = {
            name: float(value)
            for name, value in self.housekeeping.values(now).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        for excursion in self._limits.check(numbers):
            self.reporter.event(excursion.event, excursion.args, now)

    def pump(self, now: Moment) -> None:
        """Let the queries go on."""
        self._moment = now
        self._tell_damage(now)
        self.runner.pump(now)
        for wish in self.runner.renewal.wishes:
            self.bridge.wish(wish)
        self.runner.renewal.wishes.clear()

    def report_housekeeping(self, now: Moment) -> None:
        """The periodic report."""
        self.reporter.report_if_room("health.housekeeping", self.housekeeping.values(now), now)

    def journal_flush(self) -> None:
        """Make the events of this turn durable."""
        self._journal.flush()

    # ---- commands --------------------------------------------------------------------------

    def _ping(self, _command: Command, now: Moment, accept: Accept) -> bool:
        accept()
        self.reporter.report("core.pong", {}, now)
        return True

    def _noop(self, _command: Command, now: Moment, accept: Accept) -> bool:
        accept()
        said = {"version": self._version, "dictionary": DICTIONARY.sha256[:16]}
        self.reporter.event("core.noop", said, now)
        return True

    def _reset_counters(self, _command: Command, now: Moment, accept: Accept) -> bool:
        accept()
        self.commander.reset_counters()
        self._journal.reset_counters()
        self.runner.tokens = self.runner.refused = 0
        self.runner.gate.reset_counters()
        self.housekeeping.frames_sent = self.reporter.events = 0
        self.reporter.event("core.counters_reset", {}, now)
        return True

    def _housekeeping_now(self, _command: Command, now: Moment, accept: Accept) -> bool:
        accept()
        self.reporter.report("health.housekeeping", self.housekeeping.values(now), now)
        return True

    # ---- the journal ---------------------------------------------------------------------------

    def _tell_damage(self, now: Moment) -> None:
        """What the journal met and mended since the last turn, and the queries that it could not save."""
        found = self._journal.take_findings()
        for file, queries in found.restored.items():
            self.reporter.event("store.journal_restored", {"file": file, "queries": queries}, now)
        for file, rows in found.mended.items():
            self.reporter.event("store.rows_mended", {"file": file, "rows": rows}, now)
        if found.alone:
            self.reporter.event("store.journal_alone", {"detail": found.alone.removesuffix(".")}, now)
        for query in found.lost:
            self.reporter.event("store.query_damaged", {"query_id": query.id}, now)
            self.runner.lost(query, now)

    # ---- what others tell --------------------------------------------------------------------

    def _asked(self, do: str) -> None:
        """The engine's end that follows was asked for."""
        if do in ("restart_engine", "enter_safe_mode"):
            self.runner.excused = True

    def _wish(self, do: str, **said: str) -> None:
        """What follows from damage: an engine that is ended for it is not held against the query that runs."""
        if do == "renew_code" or said.get("child") == "engine":
            self.runner.excused = True
        self.bridge.wish(do, **said)

    def _heard(self, status: Status) -> None:
        self.housekeeping.status = status
        self.protection.status(status)
        self.runner.safe = status.mode == "safe"

    def _live_scene(self) -> Scene:
        return self.housekeeping.scene(self._moment)
