"""What the verifier owes others while it computes: the engine's duty, with checks in place of queries."""

from __future__ import annotations

from typing import Any

from flight.inference.duty import Duty
from flight.inference.protocol import Message
from flight.verifier.protocol import Check, parse_request


class CheckDuty(Duty):
    """The verifier's sockets and its count of work done."""

    def next_check(self) -> Check | None:
        """The check to make next, or None. The one before it has ended."""
        check: Check | None = self._next()
        return check

    def _parse(self, message: dict[str, Any]) -> Message:
        return parse_request(message)
