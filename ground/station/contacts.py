"""When the spacecraft hears us: the contact plan, or always."""

from __future__ import annotations

from dataclasses import dataclass

from spacelink.contact import ContactPlan


@dataclass(frozen=True)
class Window:
    """One pass, in mission time."""

    start: float
    end: float
    rate_bps: float
    owlt: float


@dataclass(frozen=True)
class Sky:
    """The link as the plan predicts it at one moment. Times are mission time; None: never, or not in the plan."""

    in_contact: bool
    owlt: float
    """One-way light time, s."""
    rate_bps: float
    """Uplink rate, bit/s of mission time; 0 unpaced."""
    los: float | None
    aos: float | None
    """Next AOS when out of contact."""
    start: float | None = None
    """Start of the pass that is on."""


class Contacts:
    """The uplink windows of a contact plan; without a plan the spacecraft is always in sight."""

    def __init__(self, plan: ContactPlan | None, *, ground: int, spacecraft: int, uplink_bps: float = 0.0) -> None:
        self._plan = plan
        self._ground, self._spacecraft = ground, spacecraft
        self._uplink_bps = uplink_bps

    @property
    def always(self) -> bool:
        """Whether there is no plan."""
        return self._plan is None

    def at(self, mission: float) -> Sky:
        """What the plan says of this moment. The configured rate caps the plan's."""
        if self._plan is None:
            return Sky(True, 0.0, self._uplink_bps, None, None)
        contact = self._plan.active(mission, self._ground, self._spacecraft)
        following = self._plan.next_start(mission, self._ground, self._spacecraft)
        if contact is None:
            return Sky(False, 0.0, self._uplink_bps, None, following)
        rate = min(contact.rate_bps, self._uplink_bps) if self._uplink_bps else contact.rate_bps
        epoch = self._plan.epoch
        return Sky(True, contact.owlt, rate, epoch + contact.end, following, epoch + contact.start)

    def windows(self) -> list[Window]:
        """All uplink passes of the plan, in order."""
        if self._plan is None:
            return []
        epoch = self._plan.epoch
        return [
            Window(epoch + each.start, epoch + each.end, each.rate_bps, each.owlt)
            for each in self._plan.contacts
            if (each.source, each.dest) == (self._ground, self._spacecraft)
        ]
