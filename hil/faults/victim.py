"""Whom a fault hits: files, shared memory and processes of one flight, found by its data directory or given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from flight.integrity.settings import GuardSettings
from hil.errors import FaultError
from hil.faults.subject import Subject

PROCESSES = ("supervisor", "core", "engine", "verifier", "scrubber", "ground", "link")


@dataclass
class Victim:
    """What there is of one flight: leave out what is not there. `pids` by process name, children that come and go.

    `files`: of storage, by name (`model`, `journal`, `codes` …). `memories`: where the llama.cpp memory of a process
    lies, as its `Held` messages say; without it the process is searched.
    """

    subject: Subject
    image: Path | None = None
    parity: Path | None = None
    codes: Path | None = None
    data: Path | None = None
    pids: dict[str, int] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    memories: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of_guard(cls, subject: Subject, guard: GuardSettings, pids: dict[str, int] | None = None) -> Self:
        """The victim of the fast lane: an image with its guard, and the processes over it."""
        return cls(subject, guard.image, guard.parity, guard.codes, pids=pids or {})

    def need(self, name: str) -> Path:
        """The file of one kind. Raises `FaultError` where there is none."""
        path: Path | None = getattr(self, name)
        if path is None:
            raise FaultError(f"This victim has no {name} to damage.")
        return path

    def pid(self, process: str) -> int:
        """The process id of a process. Raises `FaultError` where it does not run."""
        pid = self.pids.get(process)
        if not pid:
            raise FaultError(f"No process {process!r} runs here; there are {', '.join(sorted(self.pids)) or 'none'}.")
        return pid
