"""Files that are damaged at rest, and system calls that fail as a broken or full disk makes them fail."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hil.errors import FaultError
from hil.faults import Fault, Subject, Victim, draw, inject
from hil.faults.places import StoragePlace

CONTENT = bytes(range(1, 256)) * 8


@pytest.fixture
def victim(tmp_path: Path, bare_subject: Subject) -> Victim:
    """A data directory with one file in it."""
    path = tmp_path / "data" / "journal.sqlite"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return Victim(bare_subject, data=path.parent, files={"journal": path})


def stored(kind: str, **more: Any) -> Fault:
    return Fault("storage", StoragePlace.model_validate({"file": "journal", "kind": kind, **more}))


@pytest.mark.parametrize("kind", ["flip", "torn", "zeroed", "lost", "unreadable"])
def test_a_file_at_rest_is_damaged_as_told_and_mended(kind: str, victim: Victim) -> None:
    path = victim.file("journal")
    made = inject(stored(kind, offset=1_000_700), victim)
    offset = 1_000_700 % len(CONTENT)
    match kind:
        case "flip":
            assert path.read_bytes()[offset] == CONTENT[offset] ^ 1
        case "torn":
            assert path.read_bytes() == CONTENT[:offset]
        case "zeroed":
            assert path.read_bytes() == CONTENT[:offset] + bytes(len(CONTENT) - offset)
        case "lost":
            assert not path.exists()
        case _:
            with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at below
                path.read_bytes()
            assert caught.value.errno == errno.EIO
    assert made.activated
    made.undo()
    assert path.read_bytes() == CONTENT
    assert sorted(victim.need("data").iterdir()) == [path]


def test_zeros_over_zeros_change_nothing(victim: Victim) -> None:
    """Ends of files are often zeros: counted as activated, such rows would look like damage that was survived."""
    path = victim.file("journal")
    path.write_bytes(CONTENT + bytes(500))
    made = inject(stored("zeroed", offset=len(CONTENT) + 3), victim)
    assert (made.activated, made.changed, made.flips) == (False, (), ())
    made.undo()
    assert path.read_bytes() == CONTENT + bytes(500)


def test_the_change_of_a_zeroed_file_is_its_first_byte_that_was_not_zero(victim: Victim) -> None:
    path = victim.file("journal")
    path.write_bytes(bytes(500) + CONTENT)
    made = inject(stored("zeroed", offset=10), victim)
    assert [(one.offset, one.before, one.after) for one in made.changed] == [(500, CONTENT[0], 0)]
    assert made.activated
    made.undo()
    assert path.read_bytes() == bytes(500) + CONTENT


def test_a_file_that_is_unreadable_already_is_not_made_so_again_and_not_lost_for_good(victim: Victim) -> None:
    """Hidden a second time, the link to nowhere would take the place of the file that lies aside."""
    path = victim.file("journal")
    first = inject(stored("unreadable"), victim)
    again = inject(stored("unreadable"), victim)
    assert not again.activated
    again.undo()
    with pytest.raises(FaultError, match="unreadable before: take that back first"):
        inject(stored("lost"), victim)
    for kind in ("flip", "torn", "zeroed"):
        assert not inject(stored(kind), victim).activated
    first.undo()
    assert path.read_bytes() == CONTENT


def test_an_empty_file_has_nothing_to_damage_but_itself(victim: Victim) -> None:
    path = victim.file("journal")
    path.write_bytes(b"")
    for kind in ("flip", "torn", "zeroed"):
        made = inject(stored(kind, offset=5), victim)
        assert not made.activated
        made.undo()
    made = inject(stored("lost"), victim)
    assert made.activated
    made.undo()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("kind", ["torn", "zeroed", "lost", "unreadable"])
def test_what_was_written_since_is_not_undone(kind: str, victim: Victim) -> None:
    path = victim.file("journal")
    made = inject(stored(kind, offset=5), victim)
    if kind in ("torn", "zeroed"):
        with path.open("ab") as file:
            file.write(b"newer")
    else:
        path.unlink(missing_ok=True)
        path.write_bytes(b"newer")
    newer = path.read_bytes()
    made.undo()
    assert path.read_bytes() == newer
    assert sorted(victim.need("data").iterdir()) == [path]


def test_kinds_and_files_are_drawn_from_what_is_asked(bare_subject: Subject) -> None:
    seen = {
        str(draw("storage", bare_subject, seed=seed, where={"files": ["wal", "codes"]}).place) for seed in range(60)
    }
    assert all(text.endswith(("wal", "codes")) for text in seen)
    place = draw("storage", bare_subject, seed=1, where={"kinds": "full"}).place
    assert str(place) == "core's writing to all"
    with pytest.raises(FaultError, match="no file 'wal' here; there are none"):
        inject(stored("flip").__class__("storage", StoragePlace(file="wal")), Victim(bare_subject))


WRITER = """
import os, sys
path, inside, outside = sys.argv[1:]
print("ready", flush=True)
for line in sys.stdin:
    said = []
    for name in (path, outside):
        try:
            with open(name, "ab", buffering=0) as file:
                file.write(b"x")
            said.append("written")
        except OSError as error:
            said.append(os.strerror(error.errno))
        try:
            with open(name, "rb", buffering=0) as file:
                file.read(4)
            said.append("read")
        except OSError as error:
            said.append(os.strerror(error.errno))
    print(*said, sep=", ", flush=True)
"""


def ask(process: subprocess.Popen[bytes]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    return process.stdout.readline().decode().strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "file", "answer"),
    [
        ("full", "all", "No space left on device, read, written, read"),
        ("full", "journal", "No space left on device, read, written, read"),
        ("read-error", "journal", "written, Input/output error, written, read"),
    ],
)
def test_the_calls_of_a_process_fail_until_it_is_undone(
    kind: str, file: str, answer: str, victim: Victim, tmp_path: Path, child: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """Only those that are meant: other files, and what goes to sockets and pipes, are left alone."""
    path, outside = victim.file("journal"), tmp_path / "outside"
    outside.touch()
    process = child(WRITER, str(path), "", str(outside))
    victim.pids["core"] = process.pid
    assert ask(process) == "written, read, written, read"
    made = inject(stored(kind, file=file, process="core"), victim)
    size = path.stat().st_size
    assert ask(process) == answer
    assert ask(process) == answer
    assert path.stat().st_size == size + (0 if kind == "full" else 2)
    made.undo()
    assert ask(process) == "written, read, written, read"


@pytest.mark.slow
def test_a_process_that_dies_under_it_ends_the_fault(
    victim: Victim, child: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = child(WRITER, "", "", "")
    victim.pids["core"] = process.pid
    made = inject(stored("full", file="all", process="core"), victim)
    os.kill(process.pid, signal.SIGKILL)  # Popen.kill asks waitpid first, which may take a stop away from the tracer
    made.undo()  # the tracer has gone by now, and has left it to us to learn how the process ended
    assert process.wait(30) == -9
    with pytest.raises(FaultError, match="cannot be traced"):
        inject(stored("full", file="all", process="core"), victim)
