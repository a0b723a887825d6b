"""Both directions of the link for one scenario. Sans-I/O: datagram and time in, deliveries and counters out.

Times are mission seconds after the scenario's epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hil.link.channel import Channel, Delivery
from hil.link.faults import Direction
from hil.plan import FLIGHT_NODE, GROUND_NODE, contact_plan, light_time
from hil.scenario import ChannelModel, Scenario
from spacelink.contact import Contact, ContactPlan


class Relay:
    """The link of a scenario: `up` carries CLTUs from ground to flight, `down` CADUs from flight to ground."""

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        self.scenario = scenario
        self.seed = seed
        self.plan: ContactPlan = contact_plan(scenario)
        light = light_time(scenario)
        self.up = self._channel("up", scenario.uplink, GROUND_NODE, FLIGHT_NODE, light)
        self.down = self._channel("down", scenario.downlink, FLIGHT_NODE, GROUND_NODE, light)

    def _channel(
        self, direction: Direction, model: ChannelModel, source: int, dest: int, light: Callable[[float], float] | None
    ) -> Channel:
        def contact_at(now: float) -> Contact | None:
            return self.plan.active(now, source, dest)

        return Channel(
            direction,
            contact_at,
            model.impairments,
            seed=self.seed,
            queue_frames=model.queue_frames,
            reorder_hold_s=model.reorder_hold_s,
            light_time=light,
        )

    def from_ground(self, now: float, datagram: bytes) -> list[Delivery]:
        """A CLTU from ground at `now`; what flight receives, and when."""
        return self.up.send(now, datagram)

    def from_flight(self, now: float, datagram: bytes) -> list[Delivery]:
        """A CADU from flight at `now`; what ground receives, and when."""
        return self.down.send(now, datagram)

    def report(self, now: float) -> dict[str, Any]:
        """What `link.json` says at `now`: contact state and counters by direction."""
        contact = self.plan.active(now, GROUND_NODE, FLIGHT_NODE)
        following = self.plan.next_start(now, GROUND_NODE, FLIGHT_NODE)
        return {
            "scenario": self.scenario.name,
            "seed": self.seed,
            "time_s": now,
            "in_contact": contact is not None,
            "los_in_s": contact.end - now if contact else None,
            "aos_in_s": following - now if contact is None and following is not None else None,
            "up": self.up.counters.as_dict(),
            "down": self.down.counters.as_dict(),
        }
