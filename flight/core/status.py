"""What the supervisor says of the whole: mode, boot, losses, process ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Status:
    """The supervisor's word, newest first heard."""

    mode: str = "normal"
    boot: int = 0
    safe_reason: str = ""
    since: float = 0.0
    """CLOCK_MONOTONIC at the start of the supervisor, s; 0 while unknown."""
    lost: Mapping[str, int] = field(default_factory=dict)
    resets: Mapping[str, int] = field(default_factory=dict)
    rungs: Mapping[str, int] = field(default_factory=dict)
    """How often the upper rungs of the repair ladder were climbed: `slot`, `safe`."""
    pids: Mapping[str, int | None] = field(default_factory=dict)
    slot: str = "first"
    """The model slot in use."""
    faulty: tuple[str, ...] = ()
    """Children that were lost too often and are only tried on."""

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Status:
        """From the `status` object of the control channel."""
        return cls(
            mode=message["mode"],
            boot=message["boot"],
            safe_reason=message["safe_reason"],
            since=message["since"],
            lost=message["lost"],
            resets=message["resets"],
            rungs=message.get("rungs", {}),
            pids=message["pids"],
            slot=message.get("slot", "first"),
            faulty=tuple(message.get("faulty", ())),
        )
