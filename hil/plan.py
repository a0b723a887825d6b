"""The contact plan of a scenario, and of an orbit: `spacelink.ContactPlan` in the JSON shape of HDTN."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from hil.orbit import Orbit, Station
from hil.scenario import Scenario
from spacelink.contact import Contact, ContactPlan

GROUND_NODE = 1
FLIGHT_NODE = 2
"""Node numbers of the contact plan."""

Window = tuple[float, float, float]
"""Start and end in seconds after the epoch, one-way light time in seconds."""


def contact_plan(scenario: Scenario, epoch: float = 0.0) -> ContactPlan:
    """Both directions of all contacts of a scenario, in seconds after `epoch` (0: times are the scenario's own)."""
    if scenario.orbit is not None:
        orbit, station = scenario.orbit.orbit, scenario.orbit.station.station
        windows = orbit_windows(orbit, station, scenario.epoch_s, scenario.orbit.duration_s)
    else:
        windows = [(contact.start_s, contact.end_s, contact.owlt_s) for contact in scenario.contacts]
    return plan_of(windows, scenario.uplink.rate_bps, scenario.downlink.rate_bps, epoch)


def orbit_windows(orbit: Orbit, station: Station, start: float, duration_s: float) -> list[Window]:
    """Contacts of an orbit as windows after `start`; the light time is the one in the middle of each."""
    passes = orbit.passes(station, start, duration_s)
    if not passes:
        return []
    middles = np.array([(each.rise + each.set) / 2 for each in passes])
    delays = orbit.owlt(station, middles)
    return [(each.rise - start, each.set - start, float(owlt)) for each, owlt in zip(passes, delays, strict=True)]


def plan_of(windows: Iterable[Window], uplink_bps: float, downlink_bps: float, epoch: float) -> ContactPlan:
    """A plan with one uplink and one downlink contact for each window."""
    contacts: list[Contact] = []
    for start, end, owlt in windows:
        contacts.append(Contact(len(contacts), GROUND_NODE, FLIGHT_NODE, start, end, uplink_bps, owlt))
        contacts.append(Contact(len(contacts), FLIGHT_NODE, GROUND_NODE, start, end, downlink_bps, owlt))
    return ContactPlan(tuple(contacts), epoch)


def light_time(scenario: Scenario) -> Callable[[float], float] | None:
    """One-way light time in seconds at a time after the epoch, where it changes with the orbit; None: as the plan
    says.
    """
    if scenario.orbit is None:
        return None
    orbit, station, epoch = scenario.orbit.orbit, scenario.orbit.station.station, scenario.epoch_s
    return lambda now: float(orbit.owlt(station, np.array([epoch + now]))[0])
