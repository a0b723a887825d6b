"""Limit checks with hysteresis: a channel that hovers at its limit gives one event, not a hundred. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spacelink import DICTIONARY
from spacelink.dictionary import Channel

MARGIN = 0.02
"""How far inside its limits a channel must come back, as a share of their span, before the excursion is over."""


EVENTS = {"low": "health.limit_low", "high": "health.limit_high"}


@dataclass(frozen=True)
class Excursion:
    """A channel passed a limit, or came back (`event` names it)."""

    event: str
    args: dict[str, str | float]


class LimitMonitor:
    """Watches the soft limits of the dictionary.

    `persistence`: readings in a row that it takes to believe a change; full load while an answer is made is no news.
    """

    def __init__(self, persistence: int = 1, channels: Mapping[str, Channel] | None = None) -> None:
        self._channels = DICTIONARY.channels if channels is None else channels
        self._persistence = persistence
        self._outside: dict[str, str] = {}
        self._changing: dict[str, tuple[str, int]] = {}

    def check(self, values: Mapping[str, float | None]) -> list[Excursion]:
        """Take the newest values; return what has changed. An unknown value changes nothing."""
        found = []
        for name, channel in self._channels.items():
            value = values.get(name)
            if value is None:
                continue
            side = self._side(name, channel, value)
            before = self._outside.get(name, "")
            if side == before:
                self._changing.pop(name, None)
                continue
            if not self._believed(name, side):
                continue
            if side:
                self._outside[name] = side
                limit = channel.soft.low if side == "low" else channel.soft.high
                assert limit is not None
                found.append(Excursion(EVENTS[side], {"channel": name, "value": value, "limit": limit}))
            else:
                del self._outside[name]
                found.append(Excursion("health.limit_cleared", {"channel": name, "value": value}))
        return found

    def _believed(self, name: str, side: str) -> bool:
        """Count one more reading of a change; says whether there were enough in a row."""
        towards, count = self._changing.get(name, (side, 0))
        count = count + 1 if towards == side else 1
        self._changing[name] = (side, count)
        if count < self._persistence:
            return False
        del self._changing[name]
        return True

    def _side(self, name: str, channel: Channel, value: float) -> str:
        """low, high or nothing; who is outside must come back by the margin."""
        low, high = channel.soft.low, channel.soft.high
        span = high - low if low is not None and high is not None else abs((low if high is None else high) or 0.0)
        before = self._outside.get(name, "")
        if low is not None and value < low + (MARGIN * span if before == "low" else 0.0):
            return "low"
        if high is not None and value > high - (MARGIN * span if before == "high" else 0.0):
            return "high"
        return ""
