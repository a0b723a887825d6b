"""What others may know of the whole: the status for core, and `ready.json` for all who look into the data directory."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any

from flight.settings import FlightSettings
from flight.store.files import write_whole
from flight.supervisor import state
from flight.supervisor.crew import MODULES, Crew
from flight.supervisor.image import Image


class Publisher:
    """Tells what has changed, once. `announced`: flight has been up since this start."""

    def __init__(self, settings: FlightSettings, link: tuple[str, int]) -> None:
        self._settings = settings
        self._link = link
        self._path = settings.data_dir / "ready.json"
        self._since = time.monotonic()
        self._told: dict[str, Any] = {}
        self.announced = False

    def again(self) -> None:
        """Somebody has not heard it: tell all the next time."""
        self._told = {}

    def publish(self, crew: Crew, image: Image, own: state.SupervisorState) -> bool:
        """Tell core and `ready.json`; says whether flight is up for the first time."""
        pids = {name: crew.pid(name) for name in ("core", *MODULES)}
        up = crew.core.proven and (crew.engine.proven or own.mode == state.SAFE)
        working = [child.name for child in crew if child.proven and child.pid]
        status = {
            "mode": own.mode,
            "boot": own.boot,
            "resets": own.resets,
            "rungs": own.rungs,
            "lost": {child.name: child.lost for child in crew},
            "since": self._since,
            "pids": {"supervisor": os.getpid(), **pids},
            "safe_reason": own.safe_reason,
            "slot": own.slot,
            "faulty": sorted(child.name for child in crew if child.faulty),
            "up": up,
            "working": working,
        }
        if status == self._told:
            return False
        self._told = status
        crew.core.send({"status": status})
        if not self.announced and not up:
            return False
        self._write(pids, working, image, own)
        first, self.announced = not self.announced, True
        return first

    def withdraw(self) -> None:
        """Flight ends."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _write(self, pids: dict[str, int | None], working: list[str], image: Image, own: state.SupervisorState) -> None:
        integrity = self._settings.integrity
        ready = {
            "pid": os.getpid(),
            **{f"{name}_pid": pid for name, pid in pids.items()},
            "working": working,
            "link": {"host": self._link[0], "port": self._link[1]},
            "model": str(image.model),
            "mode": own.mode,
            "image": image.path,
            "slot": own.slot,
            "faults": self._settings.faults.allowed,
            "protection": {
                "pages": integrity.pages,
                "repair": integrity.repair,
                "scrub": integrity.pages and integrity.scrub_bytes_per_s > 0,
                "replay": integrity.replay,
            },
        }
        with contextlib.suppress(OSError):
            write_whole(self._path, (json.dumps(ready, indent=1) + "\n").encode(), durable=False)
