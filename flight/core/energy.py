"""Energy of one query: the board's power over the time from its start to its final word. Sans-I/O.

A reading of the sensor holds until the next one. Where there is no sensor, a power that the settings assume stands for
it, and the source says so; without either the energy is unknown, which is not zero. It is the whole board's: whatever
else runs on it is counted with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["none", "model", "sensor"]


@dataclass(frozen=True)
class Energy:
    """`joules` None: unknown."""

    joules: float | None = None
    source: Source = "none"


class EnergyMeter:
    """Of one query at a time. `assumed_w`: power where no sensor measures it, W; 0: none is assumed."""

    def __init__(self, assumed_w: float) -> None:
        self._assumed_w = assumed_w
        self._watts: float | None = None
        self._began: float | None = None
        self._since = 0.0
        self._joules = 0.0
        self._whole = False

    def reading(self, watts: float | None, now: float) -> None:
        """The sensor's word: None where there is none, or it fails."""
        self._add(now)
        self._watts = watts
        self._whole = self._whole and watts is not None

    def begin(self, now: float) -> None:
        """A query leaves the queue."""
        self._began = self._since = now
        self._joules = 0.0
        self._whole = self._watts is not None

    def end(self, now: float) -> Energy:
        """The query has its final word. One that began under another core has used what nobody knows."""
        self._add(now)
        began, self._began = self._began, None
        if began is None:
            return Energy()
        if self._whole:
            return Energy(self._joules, "sensor")
        return Energy(self._assumed_w * (now - began), "model") if self._assumed_w > 0 else Energy()

    def _add(self, now: float) -> None:
        if self._began is not None and self._watts is not None:
            self._joules += self._watts * (now - self._since)
        self._since = now
