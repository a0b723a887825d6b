"""What the supervisor keeps of itself and tells of itself: its state on disk, and events on their way to core."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from flight.supervisor import state
from flight.supervisor.log import LOG
from flight.supervisor.outbox import Outbox


class Record:
    """State and events. `begin` comes before everything else."""

    def __init__(self, data: Path) -> None:
        self._path = data / "supervisor.json"
        self.outbox = Outbox()
        self.state = state.SupervisorState()

    @property
    def safe(self) -> bool:
        """Whether flight is in safe mode: no worker runs."""
        return self.state.mode == state.SAFE

    def begin(self) -> None:
        """Take up what the last flight left, count this start, and tell of it."""
        before, trouble = state.load(self._path)
        after = dataclasses.replace(before, boot=before.boot + 1, clean=False)
        if before.boot and not before.clean:
            after = after.counted("flight_lost")
        self.save(after)
        if trouble:
            LOG.error("%s", trouble)
            self.event("supervisor.state_file_damaged", {"file": self._path.name})
        cause = "unknown" if trouble else "first" if not before.boot else "shutdown" if before.clean else "crash"
        self.event("supervisor.booted", {"boot": after.boot, "cause": cause})

    def change(self, **fields: Any) -> None:
        """Keep the state with some of its fields changed."""
        self.save(dataclasses.replace(self.state, **fields))

    def save(self, new: state.SupervisorState) -> None:
        """Keep the state; a full or broken disk costs the memory of it, not the flight."""
        self.state = new
        try:
            state.save(self._path, new)
        except OSError as error:
            LOG.error("%s cannot be written: %s", self._path.name, error)

    def event(self, name: str, args: dict[str, Any]) -> None:
        """Tell core, once it works, and with it ground; `name` and `args` are those of the dictionary."""
        LOG.info("event %s %s", name, args)
        self.outbox.put(name, args)
