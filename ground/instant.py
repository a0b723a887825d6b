"""One reading of both clocks: retry timers run on the first, everything that is shown or kept on the second."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple


class Instant(NamedTuple):
    """Now, on both clocks."""

    mono: float
    """CLOCK_MONOTONIC, seconds."""
    mission: float
    """Mission time: unix seconds, UTC."""


def iso(mission: float) -> str:
    """Mission time as ISO 8601 in UTC with milliseconds, `2026-11-20T12:00:00.000Z`."""
    return datetime.fromtimestamp(mission, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_iso(text: str) -> float:
    """Unix seconds of an ISO 8601 time; one without a zone is UTC. Raises ValueError."""
    told = datetime.fromisoformat(text)
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
