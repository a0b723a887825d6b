"""Sequence counts of telecommands: 14 bits (133.0-B-2 §4.1.3.4.2.3), not used twice in a round, restarts or not."""

from __future__ import annotations

ROUND = 1 << 14
BLOCK = 64
"""Counts reserved in the archive at once, so that a command need not wait for a disk."""


class Sequence:
    """Hands out counts from a reserved block. `reserved` is what the archive must know before the counts are used."""

    def __init__(self, start: int = 0) -> None:
        self._next = start % ROUND
        self._left = 0
        self.reserved = self._next

    def take(self) -> int:
        """The next count. Reserves another block when the last one is used up."""
        if self._left == 0:
            self.reserved = (self._next + BLOCK) % ROUND
            self._left = BLOCK
        count = self._next
        self._next = (count + 1) % ROUND
        self._left -= 1
        return count
