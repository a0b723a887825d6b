"""What flight leaves on flash when it ends in the middle of its work: taken once, laid out again for each trial."""

from __future__ import annotations

import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hil.campaign.companion import Companion
from hil.campaign.flight_arm import FlightArm
from hil.campaign.inquiry import Inquiry
from hil.errors import CampaignError

KILLED: Final = "killed"
STOPPED: Final = "stopped"
ENDS: Final = (KILLED, STOPPED)
"""How flight ended: by SIGKILL, by SIGTERM."""
TOKENS: Final = 3
"""Tokens of the running answer at the end."""


@dataclass(frozen=True)
class Kept:
    """A query that was accepted before the end, and the golden text of its answer."""

    id: int
    companion: Companion


@dataclass(frozen=True)
class Snapshot:
    """A data directory with one query answered and not yet released, one in the middle of its answer, one waiting."""

    folder: Path
    queries: tuple[Kept, ...]

    @classmethod
    def take(cls, arm: FlightArm, end: str, companions: tuple[Companion, Companion, Companion]) -> Snapshot:
        """Fly afresh until there is such a state, and end it. Raises `CampaignError`."""
        arm.close()
        craft = arm.ready()
        inquiry = Inquiry(craft.link)
        first, second, third = companions
        done = arm.ask(inquiry, first.question)
        deadline = time.monotonic() + arm.setup.deadline_s
        if not inquiry.follow(lambda: inquiry.ended, deadline):
            raise CampaignError("Flight did not answer before its snapshot was taken.")
        running = arm.ask(inquiry, second.question)
        waiting = arm.ask(inquiry, third.question)
        if not inquiry.follow(lambda: inquiry.tokens(running) >= TOKENS and waiting.accepted, deadline):
            raise CampaignError("Flight did not come into the middle of an answer before its snapshot was taken.")
        if running.ended:
            raise CampaignError(
                "The answer was complete before the snapshot could be taken: give the lane a slower pace."
            )
        craft.link.idle = lambda: None
        if end == KILLED:
            craft.kill("supervisor", signal.SIGKILL)
        craft.stop()
        folder = arm.setup.folder / "snapshots" / f"{arm.arm.name}-{end}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(craft.data, folder)
        arm.close()
        return cls(folder, (Kept(done.id, first), Kept(running.id, second), Kept(waiting.id, third)))

    def lay_out(self, data: Path) -> None:
        """Put it where flight will look for it."""
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(self.folder, data)
