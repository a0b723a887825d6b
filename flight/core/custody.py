"""What is known of the image while answers are made over it: passes and findings, by scrubber and gate. Sans-I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

NO_HASH = bytes(32)


@dataclass
class Custody:
    """Counts since core started. `outcomes`: findings by what became of them (`flight.integrity.finding.Outcome`)."""

    manifest_sha256: bytes = NO_HASH
    self_made: bool = False
    passes: int = 0
    last_pass: float | None = None
    """When the last pass ended, monotonic s."""
    outcomes: Counter[str] = field(default_factory=Counter)
    unrepaired: str = ""
    """Damage of the image in use that no rung repaired, in words."""
    blind: bool = False
    """The scrubber was lost too often, or does not find its own planted flips."""

    def passed(self, count: int, now: float) -> None:
        """So many passes over all pages ended by now."""
        if count:
            self.passes += count
            self.last_pass = now

    def found(self, outcome: str) -> None:
        """A pass found damage."""
        self.outcomes[outcome] += 1

    def mark(self) -> Mark:
        """Where the counts stand, to be compared with later."""
        return Mark(self.passes, Counter(self.outcomes))


@dataclass(frozen=True)
class Mark:
    """Where the counts stood when a query began."""

    passes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
