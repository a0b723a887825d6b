"""All housekeeping channels at one moment: sensors, supervisor, link, queue and engine brought together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flight.core.commander import Commander
from flight.core.moment import Moment
from flight.core.protection import Protection
from flight.core.reporter import Reporter
from flight.core.runner import Runner
from flight.core.scenes import HOUSEKEEPING, Scene, check
from flight.core.status import Status
from flight.health.scene import render
from flight.settings import FlightSettings, is_loopback, split_address
from flight.store.journal import Journal
from spacelink import DICTIONARY


class Housekeeping:
    """Collects the channels of the dictionary; what no source on this board gives is None."""

    def __init__(
        self,
        settings: FlightSettings,
        journal: Journal,
        reporter: Reporter,
        commander: Commander,
        runner: Runner,
        protection: Protection,
    ) -> None:
        self._speed = settings.clock.speed
        self._insecure = not is_loopback(split_address(settings.link.bind, "link.bind")[0])
        self._faults = settings.faults.allowed
        self._journal = journal
        self._reporter = reporter
        self._commander = commander
        self._runner = runner
        self._protection = protection
        self.sensors: Mapping[str, float | None] = {}
        self.status = Status()
        self.frames_sent = 0

    def values(self, now: Moment) -> dict[str, Any]:
        """Every channel by name."""
        link, counts, facts = self._commander.link_counters(), self._journal.counters, self._runner.facts
        gate = self._runner.gate
        values: dict[str, Any] = dict.fromkeys(DICTIONARY.channels)
        values.update(self.sensors)
        values.update(self._protection.values(now))
        values.update(
            RSS_B=int(self.sensors.get("RSS_B") or 0),
            UP_H=(now.monotonic - self.status.since) * self._speed / 3600 if self.status.since else None,
            QUE_N=self._runner.waiting,
            TOK_S=self._runner.tokens_per_s,
            RST_N=sum(self.status.lost.values()),
            CRC_N=link["damaged"],
            BOOT=self.status.boot,
            ENG_R=self.status.lost.get("engine", 0),
            COR_R=self.status.lost.get("core", 0),
            VER_R=self.status.lost.get("verifier", 0),
            SCR_R=self.status.lost.get("scrubber", 0),
            RST_L=sum(self.status.resets.values()),
            MODE=self.status.mode,
            Q_ACC=counts["accepted"],
            Q_REJ=self._runner.refused,
            Q_DON=counts["done"],
            Q_FAI=counts["failed"],
            Q_CAN=counts["cancelled"],
            Q_EXP=counts["expired"],
            Q_REL=counts["released"],
            TOK_N=self._runner.tokens,
            MDL_L=facts is not None,
            IMG_B=facts.image_bytes if facts else 0,
            GPU_L=facts.gpu_layers if facts else 0,
            OUT_B=facts.outside_bytes if facts else 0,
            VRF_L=gate.facts is not None,
            VRF_N=gate.verified,
            UNV_N=gate.unverified,
            RRN_N=gate.reruns,
            DIS_N=gate.disagreed,
            TC_OK=self._commander.accepted,
            TC_RJ=self._commander.rejected,
            UP_OK=link["accepted"],
            UP_RJ=link["rejected"],
            UP_C=link["bits_corrected"],
            TM_TX=self.frames_sent,
            EVT_N=self._reporter.events,
            SEC="unauthenticated",
            INSEC=self._insecure,
            FAULT=self._faults,
        )
        return values

    def scene(self, now: Moment) -> Scene:
        """The live telemetry as a scene."""
        values = self.values(now)
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        return check(HOUSEKEEPING, render(numbers).encode("utf-8"))
