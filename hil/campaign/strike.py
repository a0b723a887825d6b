"""A fault of a campaign put into a flight process as a whole, and what became of the process that it hit."""

from __future__ import annotations

import contextlib
import time
from typing import Final

from hil.campaign.flight_arm import FlightArm
from hil.campaign.flight_evidence import Disturbance
from hil.errors import FaultError
from hil.faults import Fault, Injection, Subject, Victim, inject

KILLING: Final = ("crash", "hang")
"""Targets after which a process must be replaced by another one."""


class Strike:
    """One fault and one flight process."""

    def __init__(self, arm: FlightArm, fault: Fault) -> None:
        self._arm = arm
        self.fault = fault
        self.process = str(getattr(fault.place, "process", ""))
        self._pid = 0
        self.injection: Injection | None = None

    @property
    def loses(self) -> bool:
        """Whether a process is lost by it for certain."""
        return self.fault.target in KILLING

    @property
    def means(self) -> str:
        """How the process is lost: crash or hang."""
        return self.fault.target if self.loses else "crash"

    def hit(self) -> Disturbance:
        """Do it now. A fault that finds nothing to hit is no disturbance of flight, and is told as that."""
        craft = self._arm.craft
        victim = victim_of(self._arm)
        self._pid = victim.pids.get(self.process, 0)
        at = time.monotonic()
        note = ""
        try:
            self.injection = inject(self.fault, victim)
        except FaultError as error:
            note = f"not injected: {error}"
        made = self.injection
        craft.link.idle()
        return Disturbance(
            at,
            self.fault.target,
            self.process,
            made.flips if made is not None else (),
            note,
            activated=made is not None and made.activated,
            labels=labels_of(self.fault) | (dict(made.labels) if made is not None else {}),
        )

    def replaced(self) -> bool:
        """Whether another process does the work of the one that was hit."""
        craft = self._arm.craft
        return self.process in craft.working() and craft.pids().get(self.process) not in (None, self._pid)

    def repaired(self) -> bool:
        """Whether every byte that was changed in the image is again as it was."""
        if self.injection is None or self.fault.target != "weights":
            return True
        try:
            with self._arm.craft.image.open("rb") as image:
                for change in self.injection.changed:
                    image.seek(change.offset)
                    if image.read(1)[0] != change.before:
                        return False
        except (OSError, KeyError, IndexError):
            return False
        return True

    def undo(self) -> None:
        """Take it back as far as that is possible and still needed."""
        if self.injection is not None and not self.loses:
            with contextlib.suppress(FaultError, OSError):
                self.injection.undo()


def victim_of(arm: FlightArm) -> Victim:
    """What there is of an arm's flight process to hit."""
    craft = arm.craft
    ready = craft.ready() or {}
    image = arm.image()
    return Victim(
        Subject(arm.model),
        image=image,
        parity=image.with_name("parity.bin") if image is not None else None,
        codes=craft.data / "codes.bin",
        data=craft.data,
        pids=craft.pids(),
        files={"model": arm.model, "journal": craft.data / "journal.sqlite"} if ready else {"model": arm.model},
    )


def labels_of(fault: Fault) -> dict[str, str]:
    """The columns of a row that every fault fills."""
    return {"target": fault.target, "model": fault.model.name, "at": fault.at.point}
