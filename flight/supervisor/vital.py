"""Whether a child does its work in time: its beats against the limit of the phase it is in. Pure.

A beat's count is work done. In a phase of work only progress resets the clock (a beat that repeats the count does
not); an idle child or core has nothing to do but to answer pings, so any beat will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STARTING = "starting"


@dataclass(frozen=True)
class Limits:
    """Longest silence, s: before the first beat, in phases that only answer pings, and in each phase of work."""

    starting: float
    answer: float
    work: Mapping[str, float] = field(default_factory=dict)

    def of(self, phase: str) -> float:
        """The limit of a phase."""
        return self.starting if phase == STARTING else self.work.get(phase, self.answer)


class Vital:
    """The vital sign of one child. Times are monotonic seconds, handed in."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._since = now
        self._count = -1
        self.phase = STARTING

    def beat(self, count: int, phase: str, now: float) -> None:
        """A beat arrived."""
        if phase not in self._limits.work or phase != self.phase or count != self._count:
            self._since = now
        self.phase = phase
        self._count = count

    def deadline(self) -> float:
        """When the child is overdue unless it shows life before."""
        return self._since + self._limits.of(self.phase)

    def limit(self) -> float:
        """The limit of the phase, s."""
        return self._limits.of(self.phase)

    def overdue(self, now: float) -> bool:
        """Whether the limit of the phase has passed."""
        return now > self.deadline()

    def excuse(self, gap_s: float) -> None:
        """The supervisor itself was away (stopped, starved) for so long: what it did not hear counts for nothing."""
        self._since += gap_s

    def silence(self, now: float) -> str:
        """What is missing, as part of a sentence."""
        limit = self._limits.of(self.phase)
        return f"no progress for {now - self._since:.1f} s in phase {self.phase} (limit {limit:g} s)"
