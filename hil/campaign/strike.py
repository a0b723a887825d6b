"""A fault of a campaign put into a flight process as a whole, and what became of the process that it hit."""

from __future__ import annotations

import contextlib
import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from flight.integrity.settings import GuardSettings, manifest_for
from hil.campaign.flight_arm import FlightArm
from hil.campaign.flight_evidence import Disturbance
from hil.errors import FaultError
from hil.faults import Fault, Injection, Subject, Victim, inject
from hil.faults.storage import CALLS
from hil.faults.victim import OTHER_MODEL

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

    @property
    def in_image(self) -> bool:
        """Whether it strikes the model's bytes in memory."""
        return self.fault.target == "weights"

    @property
    def activated(self) -> bool:
        """Whether it has acted, as far as can be told now."""
        made = self.injection
        return made is not None and made.activated and made.in_graph

    @property
    def lasts(self) -> bool:
        """Whether it goes on until it is undone, and flight cannot work while it does."""
        return getattr(self.fault.place, "kind", "") in CALLS

    def hit(self, victim: Victim | None = None) -> Disturbance:
        """Do it now. A fault that finds nothing to hit is told as that. Without a victim: flight as it runs."""
        craft = self._arm.craft
        at = time.monotonic()
        note = ""
        try:
            victim = victim or replace(Victim.of_flight(craft.data), link=self._arm.link.folder)
            self._pid = victim.pids.get(self.process, 0)
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
            activated=self.activated,
            labels=labels_of(self.fault) | (dict(made.labels) if made is not None else {}),
        )

    def replaced(self) -> bool:
        """Whether another process does the work of the one that was hit."""
        craft = self._arm.craft
        return self.process in craft.working() and craft.pids().get(self.process) not in (None, self._pid)

    def repaired(self) -> bool:
        """Whether every byte that was changed in the image is again as it was."""
        if self.injection is None or not self.in_image:
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


def victim_at_rest(arm: FlightArm) -> Victim:
    """The files that an arm's flight process keeps, while it does not run."""
    data, model = arm.craft.data, arm.model
    subject = Subject(model)
    image = Path("/nowhere") / f"{hashlib.sha256(model.read_bytes()).hexdigest()[:16]}.gguf"
    guard = GuardSettings.of(model, image, data)
    journal = data / "journal.sqlite"
    files = {
        "model": model,
        "manifest": manifest_for(model, data),
        "journal": journal,
        "wal": journal.with_name("journal.sqlite-wal"),
        "codes": guard.codes,
        "draft": data / "draft.bin",
        "state": data / "supervisor.json",
        "key": data / "receipt.key",
    }
    for other in (data / "slots").glob("*/*.gguf"):
        files[OTHER_MODEL] = other
    return Victim(subject, codes=guard.codes, data=data, files=files)


def labels_of(fault: Fault) -> dict[str, str]:
    """The columns of a row that every fault fills."""
    return {"target": fault.target, "model": fault.model.name, "at": fault.at.point}
