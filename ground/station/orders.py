"""Commands that people give: each is repeated until the spacecraft has said something of it, or its time is over.

Without COP-1 nothing else tells that a command was lost. So one whose answer was lost may be carried out twice, which
none of those that there are minds: at worst the engine is restarted once more.
"""

from __future__ import annotations

import math
from typing import Any

from ground.instant import Instant
from ground.order import Order, State
from ground.station.timing import Pause

KEPT = 256
"""Request ids that are remembered: a late word is still taken."""


class Orders:
    """Which of them still wait, and whose a verification report is."""

    def __init__(self, pause: Pause) -> None:
        self._pause = pause
        self._open: list[tuple[float, Order]] = []
        self._requests: dict[str, Order] = {}

    def give(self, name: str, args: dict[str, Any], now: Instant, wait_s: float) -> Order:
        """Take a command that is to be sent within `wait_s` real seconds."""
        order = Order(name, args, now.mono + wait_s)
        self._open.append((now.mono, order))
        return order

    @property
    def due(self) -> float:
        """Monotonic time of the next try; infinite for none."""
        return min((due for due, _ in self._open), default=math.inf)

    def command(self, now: Instant, rtt: float) -> Order | None:
        """The order that is to be radiated now, if any; `rtt` is how long its answer takes at least, real s."""
        self._open = [
            (due, order)
            for due, order in self._open
            if order.until > now.mono and order.state in (State.WAITING, State.SENT)
        ]
        for place, (due, order) in enumerate(self._open):
            if due <= now.mono:
                order.sent += 1
                order.state = State.SENT
                self._open[place] = (now.mono + rtt + self._pause.after(order.sent), order)
                return order
        return None

    def sent(self, request: str, order: Order | None) -> None:
        """A command left with this request id (hex); None: one that is no order, so that the id means that one now."""
        self._requests.pop(request, None)
        if order is not None:
            self._requests[request] = order
        while len(self._requests) > KEPT:
            self._requests.pop(next(iter(self._requests)))

    def verified(self, request: str, kind: str, reason: str, detail: str) -> Order | None:
        """A report of service 1; `kind` is its name in the dictionary. The order that it ends, if it ends one."""
        order = self._requests.get(request)
        if order is None or order.ended:
            return None
        match kind:
            case "completed":
                order.state = State.COMPLETED
            case "failed" | "start_failed":
                order.state = State.FAILED
            case "rejected" if order.state is State.ACCEPTED:
                # A repeat was refused; what was accepted goes on.
                return None
            case "rejected":
                order.state = State.REJECTED
            case _:
                order.state = State.ACCEPTED
                return None
        order.reason, order.detail = reason, detail
        return order
