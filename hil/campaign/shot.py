"""The fault of one trial in one arm: it strikes when its instant comes, heals at its other, and says what it did."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final

from flight.inference.protocol import Arm as ComputeFault
from flight.inference.protocol import Struck
from hil.errors import FaultError
from hil.faults import Fault, Injection, Instant, Victim, inject
from hil.faults.compute import arms, struck

COMPUTE: Final = "compute"
GUARDS: Final = ("codes", "parity")
"""Targets that only guard the image."""
_IN_PLACE: Final = ("weights", "codes", "parity")
"""Targets that lie outside of the processes: they need no hold where nothing runs anyway."""


class Shot:
    """A fault on its way. Call `reach` whenever a point of `hil.faults.fault.POINTS` is reached."""

    @classmethod
    def none(cls) -> Shot:
        """No fault at all."""
        return cls(None, None)

    def __init__(
        self, fault: Fault | None, victim: Victim | None, pids: Callable[[], dict[str, int]] | None = None
    ) -> None:
        """`pids`: the processes that run at the moment, by name."""
        self._fault = fault
        self._victim = victim
        self._pids = pids
        self._due = float("nan")
        self._struck: list[Struck] = []
        self.injection: Injection | None = None
        self.at = float("nan")
        """When it struck, monotonic seconds."""
        self.healed = False
        self._used = False
        self.note = ""

    @property
    def on_flash(self) -> bool:
        """Whether what was hit is the table of page codes, which a process reads when it starts."""
        return self._fault is not None and self._fault.target == "codes"

    @property
    def needs_rerun(self) -> bool:
        """Whether it strikes in the midst of the exact re-run, which comes only when something was found before."""
        return self._fault is not None and self._fault.at.point == "check-token"

    @property
    def guards(self) -> bool:
        """Whether what is hit only guards the image: without a guard nothing reads it."""
        return self._fault is not None and self._fault.target in GUARDS

    def holds(self, process: str) -> tuple[int, ...]:
        """The `hold_at` of a message to the engine or the verifier."""
        fault = self._fault
        if fault is None or fault.target == COMPUTE:
            return ()
        points = [fault.at] + ([fault.heals] if fault.heals else [])
        if process == "verifier":
            found = [point.verifier_hold for point in points]
        else:
            found = [point.engine_hold for point in points if not self._outside(point)]
        return tuple(sorted({hold for hold in found if hold is not None}))

    def arms(self, process: str) -> tuple[ComputeFault, ...]:
        """The `arm` of a message to the engine or the verifier."""
        return () if self._fault is None else arms(self._fault, process)

    def begin(self) -> None:
        """The question is about to be asked: what needs no process to stand still strikes now."""
        fault = self._fault
        if fault is not None and fault.at.point == "delay":
            self._due = time.monotonic() + fault.at.seconds
        if fault is not None and (fault.at.point == "now" or self._outside(fault.at)):
            self.reach("start")

    def patience(self, timeout_s: float) -> float:
        """At most `timeout_s`, and no longer than to the instant of a fault that strikes by the clock."""
        if self.injection is None and not self.note and self._due == self._due:
            return max(0.0, min(timeout_s, self._due - time.monotonic()))
        return timeout_s

    def tick(self) -> bool:
        """Strike if it is time; says whether it was."""
        if self.injection is None and not self.note and time.monotonic() >= self._due:
            self.reach("delay")
            return True
        return False

    def reach(self, point: str, token: int = 0) -> None:
        """A point is reached: strike if it is the fault's, heal if it is its end."""
        fault = self._fault
        if fault is None or fault.target == COMPUTE:
            return
        if self.injection is None and not self.note and _is(fault.at, point, token):
            self._strike(fault)
        elif fault.heals and self.injection is not None and not self.healed and _is(fault.heals, point, token):
            self._heal()

    def held(self, process: str, at: int, memory: int) -> None:
        """A process stands still at a point of `holds`."""
        if self._victim is None:
            return
        self._victim.memories[process] = memory
        if process == "verifier":
            self.reach(*{0: ("check", 0), -1: ("final", 0)}.get(at, ("check-token", at)))
        else:
            self.reach("token" if at else "start", at)

    def released(self, at: int) -> None:
        """The verifier goes on from its hold `at`: a strike within the pass that follows comes now."""
        fault = self._fault
        if at == -1 and fault is not None and fault.at.point == "pass" and self.injection is None:
            due = time.perf_counter() + fault.at.seconds
            while time.perf_counter() < due:
                pass
            self._strike(fault)

    def passed(self) -> None:
        """The engine has computed, or the gate has checked: a fault that struck before its end was met."""
        self._used = self._used or self.injection is not None or bool(self._struck)

    def hit(self, message: Struck) -> None:
        """A process says that a compute fault struck."""
        self._struck.append(message)
        if len(self._struck) == 1:
            self.at = time.monotonic()

    def end(self) -> None:
        """The trial is over: the fault is taken away where it can be, and a compute fault becomes an injection."""
        if self._fault is not None and self._fault.target == COMPUTE:
            self.injection = struck(self._fault, self._struck)
        elif self.injection is not None and not self.healed:
            self._heal()
        if self._fault is not None and self.injection is None and not self.note:
            self.note = "its instant never came"

    @property
    def activated(self) -> bool:
        """Whether the faulty bits can have been used: rule 11 of `hil.campaign.outcome`."""
        made = self.injection
        return made is not None and made.activated and made.in_graph and self._used

    @property
    def struck(self) -> bool:
        """Whether a compute fault has struck so far."""
        return bool(self._struck)

    def labels(self) -> dict[str, str]:
        """What is known of the fault and its place, for the row's columns."""
        fault = self._fault
        if fault is None:
            return {"target": "none"}
        at = fault.at.point + (f"..{fault.heals.point}" if fault.heals else "")
        known = {"target": fault.target, "model": fault.model.name, "at": at}
        return known | (dict(self.injection.labels) if self.injection is not None else {})

    def _outside(self, point: Instant) -> bool:
        assert self._fault is not None
        return point.point == "start" and self._fault.target in _IN_PLACE

    def _strike(self, fault: Fault) -> None:
        assert self._victim is not None
        if self._pids is not None:
            self._victim.pids = self._pids()
        try:
            self.injection = inject(fault, self._victim)
        except FaultError as error:
            self.note = f"not injected: {error}"
        self.at = time.monotonic()

    def _heal(self) -> None:
        self.healed = True
        with contextlib.suppress(FaultError, OSError):
            if self.injection is not None and self.injection.undo_by is not None:
                self.injection.undo()


def _is(instant: Instant, point: str, token: int) -> bool:
    if instant.point == "now":
        return point == "start"
    return instant.point == point and (point not in ("token", "check-token") or instant.token == token)
