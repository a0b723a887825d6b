"""Mission time, the one time that leaves a process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MissionClock:
    """mission time = epoch + speed * (monotonic - origin); pure, so that a day can run in a minute."""

    epoch: float
    """Mission time at `origin`: UTC as unix seconds."""
    speed: float = 1.0
    """Mission seconds in one monotonic second, above zero."""
    origin: float = 0.0
    """CLOCK_MONOTONIC reading at `epoch`, seconds."""

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"the clock's speed must be above 0, found {self.speed}")

    def at(self, monotonic: float) -> float:
        """Mission time (unix seconds, UTC) at a monotonic reading."""
        return self.epoch + self.speed * (monotonic - self.origin)

    def monotonic(self, mission: float) -> float:
        """The monotonic reading at which mission time will be `mission`: the inverse of `at`."""
        return self.origin + (mission - self.epoch) / self.speed
