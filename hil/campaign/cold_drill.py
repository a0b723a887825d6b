"""A fault put into what flight keeps, while flight does not run."""

from __future__ import annotations

from hil.campaign.flight_arm import FlightArm
from hil.campaign.lane import Trial
from hil.campaign.outcome import Evidence


class ColdDrill:
    """TODO."""

    def __init__(self, arm: FlightArm, trial: Trial) -> None:
        self._arm = arm
        self._trial = trial

    def run(self) -> Evidence:
        raise NotImplementedError
