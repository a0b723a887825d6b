"""The rate of the downlink: how many frames may go now. Pure."""

from __future__ import annotations

BURST_FRAMES = 4
"""Frames that may go at once after a pause."""


class Pacer:
    """A token bucket in bits. `bps` is bit/s of monotonic time; 0 lets everything pass."""

    def __init__(self, bps: float) -> None:
        self._bps = bps
        self._credit: float | None = None
        self._at = 0.0

    def allowance(self, now: float, frame_bits: int) -> int | None:
        """Frames that may go now; None: any number."""
        if self._bps <= 0:
            return None
        full = float(BURST_FRAMES * frame_bits)
        credit = full if self._credit is None else self._credit + (now - self._at) * self._bps
        self._credit, self._at = min(full, credit), now
        return int(self._credit // frame_bits)

    def spend(self, bits: int) -> None:
        """Frames have gone."""
        if self._credit is not None:
            self._credit -= bits

    def wait(self, frame_bits: int) -> float:
        """Time until the next frame may go, s."""
        if self._bps <= 0 or self._credit is None:
            return 0.0
        return max(0.0, (frame_bits - self._credit) / self._bps)
