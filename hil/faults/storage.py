"""Files that are kept: model, manifest, journal and its log, page codes, draft, supervisor's state, receipt key.

`where`: `files` (names of `Victim.files`), `kinds` (`StoragePlace`), `process` (of the kinds that need one).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

from hil.errors import FaultError
from hil.faults.fault import Fault, Instant
from hil.faults.injection import Change, Injection, strike
from hil.faults.memory import FileMemory
from hil.faults.places import StoragePlace
from hil.faults.subject import Subject
from hil.faults.tamper import Tamper
from hil.faults.victim import FILES, OTHER_MODEL, Victim
from hil.faults.wish import choice, known, refuse_unknown

AT_REST: Final = ("flip", "torn", "zeroed", "lost", "unreadable")
CALLS: Final = ("read-error", "full")
"""Kinds that go on until they are undone."""
ALL: Final = "all"
_UNREADABLE: Final = Path("/proc/self/mem")
"""Opens, and fails with EIO wherever the reader has nothing mapped, as at the offsets of a file."""
_HIDDEN: Final = ".orbitlm-hidden"


@dataclass(frozen=True)
class Storage:
    """Files at rest and the calls that read and write them."""

    name: str = "storage"
    place: type[StoragePlace] = StoragePlace

    def draw(self, subject: Subject, where: Mapping[str, Any], at: Instant, rng: Random) -> StoragePlace:
        """A place in one of the files."""
        refuse_unknown(self.name, where, {"files", "kinds", "process"})
        kind = choice(known("kinds", where.get("kinds"), (*AT_REST, *CALLS)), AT_REST, rng)
        active = kind in CALLS
        files = known("files", where.get("files"), (*FILES, OTHER_MODEL, *((ALL,) if active else ())))
        return StoragePlace(
            file=choice(files, (ALL,) if kind == "full" else FILES, rng),
            kind=kind,
            offset=0 if active else rng.randrange(1 << 40),
            bit=rng.randrange(8) if kind == "flip" else 0,
            process=choice(where.get("process"), ("core",), rng) if active else "",
        )

    def inject(self, fault: Fault, victim: Victim) -> Injection:
        """Do it. Raises `FaultError` when there is no such file, or no such process."""
        place = fault.place
        assert isinstance(place, StoragePlace)
        labels = {"kind": place.kind, "file": place.file, "process": place.process}
        if place.kind in CALLS:
            return _tampered(fault, place, victim, labels)
        path = victim.file(place.file)
        memory = FileMemory(path)
        size = memory.size
        if place.kind in ("lost", "unreadable"):
            return _hidden(fault, path, place.kind == "unreadable", labels)
        if not size:
            return Injection(fault, labels=labels)  # an empty file has nothing to lose
        offset = place.offset % size
        if place.kind == "flip":
            name = place.file
            return strike(
                fault, memory, (offset, place.bit), naming=lambda _o, bit: f"{name}, bit {bit}", labels=labels
            )
        return _cut(fault, memory, offset, place.kind == "zeroed", labels)

    def mending(self, fault: Fault, victim: Victim) -> Callable[[], None] | None:
        """A hidden file lies beside its name; what was cut off is kept by nobody else than the one who cut it."""
        place = fault.place
        assert isinstance(place, StoragePlace)
        if place.kind not in ("lost", "unreadable"):
            return None
        path = victim.file(place.file)
        return partial(_reveal, path) if _aside(path).exists() else None


def _cut(fault: Fault, memory: FileMemory, offset: int, zeros: bool, labels: dict[str, str]) -> Injection:
    size = memory.size
    tail = memory.read(offset, size - offset)
    kept = len(tail) - len(tail.lstrip(b"\0")) if zeros else 0
    if kept == len(tail):
        return Injection(fault, labels=labels)  # zeros already: a file system often leaves them at the end
    os.truncate(memory.path, offset)
    if zeros:
        os.truncate(memory.path, size)

    def undo() -> None:
        # What was written since is newer than what was taken: it stays.
        if memory.size == (size if zeros else offset) and not any(memory.read(offset, size - offset)):
            memory.write(offset, tail)

    how = "zeroed" if zeros else "cut off"
    first = Change(memory.name, offset + kept, tail[kept], 0, f"the first of {len(tail) - kept} bytes {how}")
    return Injection(fault, (first,), f"{memory.name}: {len(tail)} bytes from {offset} on {how}", labels, undo)


def _hidden(fault: Fault, path: Path, unreadable: bool, labels: dict[str, str]) -> Injection:
    if path.is_symlink() and path.readlink() == _UNREADABLE:  # the file lies aside, and would be written over there
        if unreadable:
            return Injection(fault, labels=labels)
        raise FaultError(f"{path.name} was made unreadable before: take that back first.")
    path.rename(_aside(path))
    if unreadable:
        path.symlink_to(_UNREADABLE)
    note = f"{path.name} {'cannot be read' if unreadable else 'is gone'}"
    return Injection(fault, note=note, labels=labels, undo_by=partial(_reveal, path))


def _aside(path: Path) -> Path:
    return path.with_name(path.name + _HIDDEN)


def _reveal(path: Path) -> None:
    if path.is_symlink() or not path.exists():
        _aside(path).replace(path)
    else:
        _aside(path).unlink()  # another one was written in its place


def _tampered(fault: Fault, place: StoragePlace, victim: Victim, labels: dict[str, str]) -> Injection:
    """From now on, until undone."""
    meant: Callable[[str], bool]
    if place.file == ALL:
        folder = str(victim.need("data").resolve())
        meant = lambda path: path.startswith(folder)  # noqa: E731
    else:
        exact = str(victim.file(place.file).resolve())
        meant = lambda path: path == exact  # noqa: E731
    tamper = Tamper(victim.pid(place.process), meant, writes=place.kind == "full")
    tamper.start()
    what = "writes to" if place.kind == "full" else "reads"
    note = f"{place.process} fails when it {what} {place.file}, until this is undone"
    return Injection(fault, note=note, labels=labels, undo_by=tamper.end, acted=lambda: tamper.failed)


STORAGE: Final = Storage()
