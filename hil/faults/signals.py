"""Crash and hang of any process: `where` says `process` and, of a crash, `signals`."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from hil.errors import FaultError
from hil.faults.fault import Fault, Instant
from hil.faults.injection import Injection
from hil.faults.places import SignalPlace
from hil.faults.subject import Subject
from hil.faults.victim import PROCESSES, Victim
from hil.faults.wish import choice, refuse_unknown


@dataclass(frozen=True)
class Signals:
    """A process that ends, or stands still, between two instructions."""

    name: str
    signals: tuple[str, ...]
    place: type[SignalPlace] = SignalPlace

    def draw(self, subject: Subject, where: Mapping[str, Any], at: Instant, rng: Random) -> SignalPlace:
        """One of the processes of flight."""
        refuse_unknown(self.name, where, {"process", "signals"})
        process = choice(where.get("process"), PROCESSES[:5], rng)
        return SignalPlace(process=process, signal=choice(where.get("signals"), self.signals, rng))

    def inject(self, fault: Fault, victim: Victim) -> Injection:
        """Send the signal. Raises `FaultError` when the process does not run."""
        place = fault.place
        assert isinstance(place, SignalPlace)
        pid = victim.pid(place.process)
        _send(pid, signal.Signals[place.signal])
        undo = (lambda: _send(pid, signal.SIGCONT)) if place.signal == "SIGSTOP" else None
        labels = {"process": place.process, "kind": place.signal}
        return Injection(fault, note=f"{place.signal} sent to {place.process} (pid {pid})", labels=labels, undo_by=undo)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except OSError as error:
        raise FaultError(f"{number.name} cannot be sent to process {pid}: {error.strerror}.") from error


CRASH: Final = Signals("crash", ("SIGKILL", "SIGSEGV"))
HANG: Final = Signals("hang", ("SIGSTOP",))
