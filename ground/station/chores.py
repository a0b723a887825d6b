"""Commands that belong to no query: asked once, repeated until the answer comes."""

from __future__ import annotations

import math

from ground.instant import Instant
from ground.station.timing import Pause

TRIES = 4
"""After this many the answer is not worth the uplink; the next pass asks again."""


class Chores:
    """Which of these commands still wait for their answer."""

    def __init__(self, pause: Pause) -> None:
        self._pause = pause
        self._open: dict[str, tuple[float, int]] = {}

    def want(self, name: str, now: Instant) -> None:
        """Send this command, unless its answer is awaited already."""
        self._open.setdefault(name, (now.mono, 0))

    def done(self, name: str) -> None:
        """The answer came."""
        self._open.pop(name, None)

    @property
    def due(self) -> float:
        """Monotonic time of the next try; infinite for none."""
        return min((due for due, _ in self._open.values()), default=math.inf)

    def command(self, now: Instant, rtt: float) -> str | None:
        """The command that is due, if any."""
        for name, (due, tries) in list(self._open.items()):
            if due > now.mono:
                continue
            if tries == TRIES:
                del self._open[name]
                continue
            self._open[name] = (now.mono + rtt + self._pause.after(tries + 1), tries + 1)
            return name
        return None
