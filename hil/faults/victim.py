"""Whom a fault hits: files, shared memory and processes of one flight, found by its data directory or given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from flight.integrity.settings import GuardSettings, manifest_for
from hil.errors import FaultError
from hil.faults.subject import Subject
from hil.files import read_json

FILES = ("model", "manifest", "journal", "wal", "codes", "draft", "state", "key")
"""Files that flight keeps, by name (`Victim.of_flight`)."""
OTHER_MODEL = "other-model"
"""The model file of the other slot, where there is a second file."""
PROCESSES = ("supervisor", "core", "engine", "verifier", "scrubber", "ground", "link")
_FOLDERS = {
    "link": "name the folder of the link emulator, where its link.json lies, with --link DIR",
    "ground": "name the data directory of ground, where its ready.json lies, with --ground DIR",
}
"""How to say where those are that a flight process does not know of."""


@dataclass
class Victim:
    """What there is of one flight: leave out what is not there. `pids` by process name, children that come and go.

    `link`: the folder of the link emulator, where its `link.json` lies.
    `files`: of storage, by name (`model`, `journal`, `codes` …). `memories`: where the llama.cpp memory of a process
    lies, as its `Held` messages say; without it the process is searched.
    """

    subject: Subject
    image: Path | None = None
    parity: Path | None = None
    codes: Path | None = None
    data: Path | None = None
    link: Path | None = None
    pids: dict[str, int] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    memories: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of_guard(cls, subject: Subject, guard: GuardSettings, pids: dict[str, int] | None = None) -> Self:
        """The victim of the fast lane: an image with its guard, and the processes over it."""
        return cls(subject, guard.image, guard.parity, guard.codes, pids=pids or {})

    @classmethod
    def of_flight(cls, data: Path, *, ground: Path | None = None, link: Path | None = None) -> Self:
        """The flight process of a data directory, as its `ready.json` tells; ground and link by their folders.

        Raises `FaultError` where none runs, or where it was not started with `--allow-faults`.
        """
        ready = read_json(data / "ready.json")
        if ready is None:
            raise FaultError(f"No flight process is up in {data}: there is no ready.json.")
        if not ready.get("faults"):
            raise FaultError(f"The flight process of {data} takes no faults: start it with --allow-faults.")
        if link is not None and not (link / "link.json").exists():
            raise FaultError(f"No link emulator was ever up in {link}, where no link.json lies: {_FOLDERS['link']}.")
        model = Path(ready["model"])
        image = Path(ready["image"]) if ready.get("image") else None
        guard = GuardSettings.of(model, image, data) if image is not None else None
        pids = {name: int(ready.get(f"{name}_pid") or 0) for name in PROCESSES if ready.get(f"{name}_pid")}
        pids |= {"supervisor": int(ready["pid"])}
        pids |= _pid("ground", ground, "ready.json") | _pid("link", link, "link.json")
        journal = data / "journal.sqlite"
        files = {
            "model": model,
            "manifest": manifest_for(model, data),
            "journal": journal,
            "wal": journal.with_name("journal.sqlite-wal"),
            "draft": data / "draft.bin",
            "state": data / "supervisor.json",
            "key": data / "receipt.key",
        }
        parity, codes = (guard.parity, guard.codes) if guard is not None else (None, None)
        files |= {"codes": codes} if codes is not None else {}
        return cls(Subject(model), image, parity, codes, data, link, pids, files)

    @classmethod
    def of_data(cls, data: Path, *, ground: Path | None = None, link: Path | None = None) -> Self:
        """What is left of a flight process that does not run: its directory. No model is known, so none can be hit."""
        pids = _pid("ground", ground, "ready.json") | _pid("link", link, "link.json")
        return cls(Subject(data), data=data, link=link, pids=pids)

    def file(self, name: str) -> Path:
        """A file of storage. Raises `FaultError` where there is none."""
        if name not in self.files:
            raise FaultError(f"There is no file {name!r} here; there are {', '.join(sorted(self.files)) or 'none'}.")
        return self.files[name]

    def need(self, name: str) -> Path:
        """The file of one kind. Raises `FaultError` where there is none."""
        path: Path | None = getattr(self, name)
        if path is None:
            how = f": {_FOLDERS[name]}" if name in _FOLDERS else ""
            raise FaultError(f"This victim has no {name} to damage{how}.")
        return path

    def pid(self, process: str) -> int:
        """The process id of a process. Raises `FaultError` where it does not run."""
        pid = self.pids.get(process)
        if not pid:
            there = ", ".join(sorted(self.pids)) or "none"
            how = f": {_FOLDERS[process]}" if process in _FOLDERS else ""
            raise FaultError(f"No process {process!r} runs here; there are {there}{how}.")
        return pid


def _pid(name: str, folder: Path | None, file: str) -> dict[str, int]:
    """The process that says in a file of its folder who it is."""
    told = read_json(folder / file) if folder is not None else None
    return {name: int(told["pid"])} if told else {}
