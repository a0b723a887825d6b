"""When a child may start again: exponential backoff, and a count in a window that ends in safe mode. Pure."""

from __future__ import annotations

from collections import deque


class Restarts:
    """The restarts of one child. Times are monotonic seconds, handed in."""

    def __init__(self, limit: int, window_s: float, backoff_s: float, backoff_max_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._backoff_s = backoff_s
        self._backoff_max_s = backoff_max_s
        self._times: deque[float] = deque()

    @property
    def count(self) -> int:
        """Losses in the window, as of the last look."""
        return len(self._times)

    def record(self, now: float) -> float:
        """Count a loss of the child; return the pause before its restart, s."""
        self._forget(now)
        self._times.append(now)
        return float(min(self._backoff_max_s, self._backoff_s * 2.0 ** min(len(self._times) - 1, 30)))

    def exhausted(self, now: float) -> bool:
        """Whether the window holds as many losses as lead to safe mode."""
        self._forget(now)
        return len(self._times) >= self._limit

    def clear(self) -> None:
        """Start counting again (safe mode was left by command)."""
        self._times.clear()

    def _forget(self, now: float) -> None:
        while self._times and now - self._times[0] > self._window_s:
            self._times.popleft()
