"""Crash and hang of any process: `where` says `process` and `signals`, of those that the target has."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from hil.errors import FaultError
from hil.faults.fault import Fault, Instant
from hil.faults.injection import Injection
from hil.faults.places import SignalPlace
from hil.faults.subject import Subject
from hil.faults.victim import PROCESSES, Victim
from hil.faults.wish import choice, known, refuse_unknown


@dataclass(frozen=True)
class Signals:
    """A process that ends, or stands still, between two instructions.

    `signals`: what is drawn; `others`: what can be asked for besides.
    """

    name: str
    signals: tuple[str, ...]
    others: tuple[str, ...] = ()
    place: type[SignalPlace] = SignalPlace

    @property
    def own(self) -> tuple[str, ...]:
        """All that do what the target is called by."""
        return self.signals + self.others

    def draw(self, subject: Subject, where: Mapping[str, Any], at: Instant, rng: Random) -> SignalPlace:
        """One of the processes of flight."""
        refuse_unknown(self.name, where, {"process", "signals"})
        process = choice(where.get("process"), PROCESSES[:5], rng)
        wished = known(f"signals of {self.name}", where.get("signals"), self.own)
        return SignalPlace(process=process, signal=choice(wished, self.signals, rng))

    def inject(self, fault: Fault, victim: Victim) -> Injection:
        """Send the signal. Raises `FaultError` when the process does not run, or the signal is another target's."""
        place = fault.place
        assert isinstance(place, SignalPlace)
        known(f"signals of {self.name}", place.signal, self.own)  # one that was not drawn may be of the other target
        pid = victim.pid(place.process)
        _send(pid, signal.Signals[place.signal])
        undo = (lambda: _send(pid, signal.SIGCONT)) if place.signal == "SIGSTOP" else None
        labels = {"process": place.process, "kind": place.signal}
        return Injection(fault, note=f"{place.signal} sent to {place.process} (pid {pid})", labels=labels, undo_by=undo)

    def mending(self, fault: Fault, victim: Victim) -> Callable[[], None] | None:
        """What stands still goes on; who died stays dead, and another one in its place does not stand still."""
        place = fault.place
        assert isinstance(place, SignalPlace)
        pid = victim.pids.get(place.process)
        return (lambda: _send(pid, signal.SIGCONT)) if pid and place.signal == "SIGSTOP" else None


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except OSError as error:
        raise FaultError(f"{number.name} cannot be sent to process {pid}: {error.strerror}.") from error


CRASH: Final = Signals("crash", ("SIGKILL", "SIGSEGV"), ("SIGABRT", "SIGBUS"))
HANG: Final = Signals("hang", ("SIGSTOP",))
