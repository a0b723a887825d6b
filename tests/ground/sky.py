"""A station and a spacecraft with a bad link between them, in simulated time: fast, and the same every time."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Literal

from ground.instant import Instant
from ground.legs import Leg
from ground.question import Question, new_id
from ground.record import Evidence, Record
from ground.settings import StationSettings
from ground.station.contacts import Contacts
from ground.station.station import Station
from ground.station.timing import Timing
from spacelink import Contact, ContactPlan
from tests.ground.double import Spacecraft

Fate = Literal["good", "lost", "doubled", "late"]
EPOCH = 1_795_000_000.0


def plan(*windows: tuple[float, float]) -> ContactPlan:
    """Contacts from and to these seconds of simulated time."""
    return ContactPlan(tuple(Contact(n, 1, 2, a, b, 64_000, 0.01) for n, (a, b) in enumerate(windows)), EPOCH)


class Sky:
    """Simulated time runs from event to event. Fates befall packets in order; when they run out, all go well."""

    def __init__(
        self,
        *,
        up: Iterable[Fate] = (),
        down: Iterable[Fate] = (),
        plan: ContactPlan | None = None,
        light_s: float = 0.01,
        window: int = 12,
        station: Station | None = None,
    ) -> None:
        self.time = 0.0
        self.contacts = Contacts(plan, ground=1, spacecraft=2)
        self.craft = Spacecraft(self._down)
        self.timing = Timing.of(StationSettings.model_validate({}))
        self.station = station or Station(self.contacts, self.timing, window=window)
        self._light = light_s
        self._fates: dict[str, Iterator[Fate]] = {"up": iter(up), "down": iter(down)}
        self._flying: list[tuple[float, int, str, bytes]] = []
        self._counter = itertools.count()

    @property
    def now(self) -> Instant:
        """Both clocks."""
        return Instant(self.time, EPOCH + self.time)

    def ask(self, text: str = "Which vessels are dark?", **more: object) -> Record:
        """Store and submit a question."""
        record = Record(new_id(), Question(text, **more), self.now.mission)  # type: ignore[arg-type]
        record.mark(Leg.QUEUED, Evidence(self.now.mission, self.now.mission))
        self.station.submit(record, self.now)
        return record

    def run(self, seconds: float = 3600.0, *, until: object = None) -> None:
        """Let time pass until nothing is open any more (or `until()` is true), at most `seconds`."""
        end = self.time + seconds
        while self.time < end:
            self._pull()
            if until() if callable(until) else not self.station.sessions and not self._flying:
                return
            following = min(
                self._flying[0][0] if self._flying else math.inf, self.craft.due, self.station.wake(self.now)
            )
            if following > end:
                break
            self.time = max(self.time, following)
            self.craft.step(self.time)
            while self._flying and self._flying[0][0] <= self.time:
                _, _, direction, packet = heapq.heappop(self._flying)
                if direction == "up":
                    self.craft.receive(packet, self.time)
                else:
                    self.station.receive([packet], self.now)
        self.time = max(self.time, end)

    def _pull(self) -> None:
        while (out := self.station.command(self.now)) is not None:
            self.station.sent(out, len(out.packet))
            self._fly("up", out.packet)

    def _down(self, _: int, packet: bytes) -> None:
        self._fly("down", packet)

    def _fly(self, direction: str, packet: bytes) -> None:
        if not self.contacts.at(EPOCH + self.time).in_contact:
            return
        fate = next(self._fates[direction], "good")
        for _ in range({"lost": 0, "doubled": 2}.get(fate, 1)):
            delay = self._light + (2.7 if fate == "late" else 0.0)
            heapq.heappush(self._flying, (self.time + delay, next(self._counter), direction, packet))
