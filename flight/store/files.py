"""Files that are whole or not there: written beside, synced, renamed. Standard library only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `data` in one step: a reader sees the old or the new contents, also after a power cut.

    `durable=False` leaves out the syncs, for files that only describe the running processes.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def move_aside(path: Path, suffix: str) -> Path | None:
    """Move a damaged file out of the way, whole, to a free name `path.SUFFIX[-n]`; None when there is no such file."""
    if not path.exists():
        return None
    for number in range(10_000):
        target = path.with_name(f"{path.name}.{suffix}" + (f"-{number}" if number else ""))
        if not target.exists():
            os.replace(path, target)
            sync_folder(path.parent)
            return target
    raise OSError(f"there is no free name left for {path.name}.{suffix}")
