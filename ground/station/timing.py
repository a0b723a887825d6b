"""How long to wait before a command is sent, or sent again. Real seconds, never scaled by mission speed."""

from __future__ import annotations

from dataclasses import dataclass

from ground.settings import StationSettings


@dataclass(frozen=True)
class Pause:
    """A pause that grows with each try up to `longest`."""

    first: float
    longest: float
    factor: float

    def after(self, tries: int) -> float:
        """Seconds to wait after the `tries`-th try (1 is the first)."""
        return min(self.longest, self.first * self.factor ** min(max(0, tries - 1), 64))


@dataclass(frozen=True)
class Timing:
    """The pauses of a session. The light time both ways is added to each by the session."""

    repeat: Pause
    """Between repeats of a command that waits for its verification report."""
    poll: Pause
    """Between `inference.report` while nothing new is heard."""
    settle: float
    """Quiet after which missing segments, or a missing receipt, are asked for."""
    gap: float
    """Age at which a gap in an answer that is still being written is asked for."""

    @classmethod
    def of(cls, settings: StationSettings) -> Timing:
        """The pauses that the settings name."""
        return cls(
            repeat=Pause(settings.repeat_s, settings.repeat_max_s, settings.backoff),
            poll=Pause(settings.poll_s, settings.poll_max_s, settings.backoff),
            settle=settings.settle_s,
            gap=settings.gap_s,
        )
