"""Events of the supervisor on their way to core, which has the link and the journal. Kept until core has them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

KEPT = 64
"""Events that wait for a core that does not come; the oldest go first, and are counted."""


class Outbox:
    """Numbered events, unacknowledged ones in order."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._number = 0
        self._sent = 0
        self.lost = 0

    def put(self, name: str, args: dict[str, Any]) -> None:
        """Add an event; `name` and `args` are those of the dictionary."""
        self._number += 1
        self._waiting[self._number] = {"event": name, "args": args, "n": self._number}
        if len(self._waiting) > KEPT:
            self._waiting.popitem(last=False)
            self.lost += 1

    def acknowledge(self, number: int) -> None:
        """Core has journalled everything up to `number`."""
        for waiting in [n for n in self._waiting if n <= number]:
            del self._waiting[waiting]

    def again(self) -> None:
        """A new core: what the old one did not acknowledge goes out again."""
        self._sent = 0

    def take(self) -> list[dict[str, Any]]:
        """Events to send now."""
        due = [message for number, message in self._waiting.items() if number > self._sent]
        if due:
            self._sent = due[-1]["n"]
        return due
