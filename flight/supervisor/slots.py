"""The two places a model can be flown from, and which of them may be tried now. Pure, but for looking at the files.

A slot that failed is not tried again within the window, so that two bad slots end in safe mode and not in a circle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

from flight.settings import FlightSettings
from flight.supervisor.state import FIRST, OTHER, SupervisorState

SLOTS_FOLDER = "slots"


class Slots:
    """The slots of one configuration. Times are CLOCK_MONOTONIC seconds, handed in."""

    def __init__(self, settings: FlightSettings) -> None:
        self._settings = settings
        self._window_s = settings.supervisor.window_s

    @property
    def copy(self) -> Path | None:
        """Where flight itself keeps a copy of the first slot's model; None when the other slot is given, or off."""
        if not self._settings.integrity.other_slot or self._settings.model.other_path:
            return None
        model = self._settings.model_path
        name = hashlib.sha256(os.fsencode(model)).hexdigest()[:16]  # a model of another place is another model
        return self._settings.data_dir / SLOTS_FOLDER / name / model.name

    def path(self, slot: str) -> Path:
        """The model file of a slot."""
        if slot == FIRST:
            return self._settings.model_path
        given = self._settings.model.other_path
        return Path(given).expanduser().absolute() if given else self.copy or self._settings.model_path

    def candidates(self, state: SupervisorState, now: float) -> list[str]:
        """The slots that may be flown, the one in use first."""
        order = (
            [state.slot, OTHER if state.slot == FIRST else FIRST] if self._settings.integrity.other_slot else [FIRST]
        )
        failed = {slot for slot, at in state.slots_failed.items() if 0 <= now - at <= self._window_s}
        there = [slot for slot in order if slot == FIRST or self.path(slot).exists()]
        return [slot for slot in there if slot not in failed]

    @staticmethod
    def failed(state: SupervisorState, slot: str, now: float) -> SupervisorState:
        """The state with the failure of a slot noted."""
        return dataclasses.replace(state, slots_failed={**state.slots_failed, slot: now})
