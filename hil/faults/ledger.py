"""What was injected into a flight process, a line each in its data directory: for `--undo`, and for whoever asks."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from hil.errors import FaultError
from hil.faults.fault import Fault
from hil.faults.injection import Change, Injection, take_back
from hil.faults.memory import gone, named, pid_of
from hil.faults.targets import Mender, target_of
from hil.faults.victim import Victim
from hil.files import write_whole

NAME: Final = "injections.jsonl"
SCHEMA: Final = "orbitlm.injection/1"
_SHOWN: Final = 1000


@dataclass(frozen=True)
class Undone:
    """What was taken back, None where nothing could be; and what was passed over on the way to it, a sentence each."""

    sentence: str | None
    passed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Entry:
    """A line of the ledger. `path`: of the stored file that was hit, which a flight that is down cannot tell.

    `held_by`: the process that keeps it up and takes it back when it ends (`memory.named`); empty: nobody needs to.
    """

    sentence: str
    fault: dict[str, Any]
    changed: tuple[Change, ...]
    note: str
    path: str
    held_by: str

    @classmethod
    def of(cls, line: str) -> Self:
        """Raises `FaultError`."""
        try:
            told = json.loads(line)
            changed = tuple(Change(**one) for one in told["changed"])
            path, held_by = told.get("path", ""), told.get("held_by", "")
            return cls(told["sentence"], told["fault"], changed, told["note"], path, held_by)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FaultError(f"no injection can be read from the line {line[:40]!r}.") from error

    def way(self, victim: Victim) -> Callable[[], None] | None:
        """How it is taken back from here, None where there is no way. Raises `FaultError` where it cannot be told."""
        if self.held_by and not gone(self.held_by):
            raise FaultError(f"process {pid_of(self.held_by)} holds it; end that one, and it is taken back.")
        if self.changed and all(one.where for one in self.changed):
            return None if self._ended else partial(take_back, self.changed)
        fault = Fault.from_dict(self.fault)
        target = target_of(fault.target)
        if not isinstance(target, Mender):
            return None
        known = {getattr(fault.place, "file", ""): Path(self.path)} if self.path else {}
        return target.mending(fault, replace(victim, files=victim.files | known))

    @property
    def hopeless(self) -> str:
        """Why there is no way."""
        if not self.changed and not self.note:
            return f"This changed nothing, so there is nothing to take back: {self.sentence}."
        why = "its process has ended" if self._ended else self.note
        return f"This cannot be taken back: {self.sentence}{f': {why}' if why else ''}."

    @property
    def _ended(self) -> bool:
        return any(gone(one.where) for one in self.changed)


def document(injection: Injection) -> dict[str, Any]:
    """An injection as JSON; `changed` has the first thousand bytes, `bits` counts all that flipped."""
    return {
        "schema": SCHEMA,
        "fault": injection.fault.to_dict(),
        "sentence": str(injection.fault),
        "note": injection.note,
        "labels": dict(injection.labels),
        "bits": len(injection.flips),
        "changed": [asdict(one) for one in injection.changed[:_SHOWN]],
    }


def record(victim: Victim, injection: Injection, *, held: bool = False) -> None:
    """Add an injection; `held`: this process keeps it up. Raises `FaultError`."""
    path = victim.need("data") / NAME
    try:
        with _alone(path), path.open("a", encoding="utf-8") as file:
            file.write(_line(victim, injection, held) + "\n")
    except OSError as error:
        raise FaultError(f"The injection cannot be noted in {path}: {error.strerror}.") from error


def strike_out(victim: Victim, injection: Injection) -> None:
    """Forget an injection that this process held and has taken back: there is nothing left to undo."""
    path = victim.need("data") / NAME
    line = _line(victim, injection, held=True)
    with _alone(path):
        lines = _lines(path)
        if line in lines:
            del lines[len(lines) - 1 - lines[::-1].index(line)]
            _keep(path, lines)


def undo_last(victim: Victim) -> Undone:
    """Take the newest injection back that can be, and strike it out. Raises `FaultError` where none is noted.

    Newer ones that cannot be are passed over and told. To some there is no way (a process that died, a file that was
    cut): they are struck out, having been told once. Where a way failed the injection stays noted: it may open again.
    """
    path = victim.need("data") / NAME
    with _alone(path):
        return _undo_last(victim, path)


def _undo_last(victim: Victim, path: Path) -> Undone:
    lines = _lines(path)
    if not lines:
        raise FaultError(f"Nothing is noted in {path}, so there is nothing to take back.")
    passed: list[str] = []
    failed: list[str] = []
    sentence = None
    while lines and sentence is None:
        line = lines.pop()
        called = ""
        try:
            entry = _Entry.of(line)
            called = f"{entry.sentence}: "
            way = entry.way(victim)
            if way is None:
                passed.append(entry.hopeless)
                continue
            way()
            sentence = entry.sentence
        except (FaultError, OSError) as error:
            failed.insert(0, line)
            why = f"{error.filename}: {error.strerror}." if isinstance(error, OSError) else error
            passed.append(f"This was not taken back: {called}{why}")
    _keep(path, [*lines, *failed])
    return Undone(sentence, tuple(passed))


def _line(victim: Victim, injection: Injection, held: bool) -> str:
    file = victim.files.get(getattr(injection.fault.place, "file", ""))
    line = document(injection) | {"changed": [asdict(one) for one in injection.changed]}
    if file is not None:
        line["path"] = str(file.absolute())
    if held:
        line["held_by"] = named(os.getpid())
    return json.dumps(line, ensure_ascii=False)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _keep(path: Path, lines: list[str]) -> None:
    write_whole(path, "".join(f"{line}\n" for line in lines))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time: what another notes between reading and writing would be lost."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
