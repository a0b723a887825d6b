"""A step of the clock on board: `where` says `steps`, s (nothing: up to a day either way).

Core keeps mission time as epoch + speed x (monotonic - origin) (`spacelink.clock.MissionClock`). A step is a change of
that epoch in the memory of the running core, as an upset of the clock's register or a wrong time command makes it:
packets, events and expiry see another time at once; deadlines and watchdogs, which are monotonic, do not. A restarted
core has its epoch from the supervisor again.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

from hil.errors import FaultError
from hil.faults.fault import Fault, Instant
from hil.faults.injection import Change, Injection
from hil.faults.memory import whole
from hil.faults.places import ClockPlace
from hil.faults.process import search
from hil.faults.subject import Subject
from hil.faults.victim import Victim
from hil.faults.wish import choice, refuse_unknown

_DAY_S: Final = 86_400.0
_FLOAT = struct.Struct("<d")
_HEAD: Final = 16
"""Bytes of a Python float before its value: count, type (CPython)."""


@dataclass(frozen=True)
class Clock:
    """Mission time of core."""

    name: str = "clock"
    place: type[ClockPlace] = ClockPlace

    def draw(self, subject: Subject, where: Mapping[str, Any], at: Instant, rng: Random) -> ClockPlace:
        """A step."""
        refuse_unknown(self.name, where, {"steps"})
        step = round(rng.uniform(-_DAY_S, _DAY_S), 3)
        return ClockPlace(step_s=choice(where.get("steps"), (step,), rng))

    def inject(self, fault: Fault, victim: Victim) -> Injection:
        """Step it."""
        place = fault.place
        assert isinstance(place, ClockPlace)
        pid = victim.pid("core")
        before = epoch_of(pid)
        labels = {"process": "core", "kind": "step"}
        if before + place.step_s == before:
            return Injection(fault, labels=labels)  # less than a float of this size can tell
        stepped = _floats(pid, before)
        if not stepped:
            raise FaultError(f"Core (pid {pid}) does not hold its epoch {before:.3f}: was its clock stepped before?")
        _write(pid, stepped, before + place.step_s)
        values = zip(_FLOAT.pack(before), _FLOAT.pack(before + place.step_s), strict=True)
        changed = tuple(Change("clock", number, a, b, "epoch") for number, (a, b) in enumerate(values) if a != b)
        return Injection(
            fault,
            changed,
            f"mission time of core: {place.step_s:+g} s",
            labels,
            lambda: _write(pid, stepped, before),
        )

    def mending(self, fault: Fault, victim: Victim) -> Callable[[], None] | None:
        """The epoch is found by the value that it was stepped to; a core that was restarted has it right again."""
        place = fault.place
        assert isinstance(place, ClockPlace)
        pid = victim.pid("core")
        before = epoch_of(pid)
        stepped = _floats(pid, before + place.step_s)
        return partial(_write, pid, stepped, before) if stepped else None


def epoch_of(pid: int) -> float:
    """The epoch that a core was started with, unix seconds. Raises `FaultError` where the process is none."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        settings = json.loads(arguments[arguments.index(b"--settings") + 1])
        return datetime.fromisoformat(settings["clock"]["epoch"]).timestamp()
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise FaultError(f"Process {pid} is no core of flight: it has no clock in its arguments.") from error


def _floats(pid: int, value: float) -> list[int]:
    """Where a Python float of this value lies."""
    memory = whole(pid)
    found = []
    for address, _ in search(pid, _FLOAT.pack(value)):
        count, kind = struct.unpack("<qQ", memory.read(address - _HEAD, _HEAD))
        if 0 < count < 1 << 32 and kind >= 4096:
            found.append(address)
    return found


def _write(pid: int, addresses: list[int], value: float) -> None:
    for address in addresses:
        whole(pid).write(address, _FLOAT.pack(value))


CLOCK: Final = Clock()
