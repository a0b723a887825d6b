"""Files that another process reads while we write them: written whole, then renamed."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flight.integrity.image import image_dir
from flight.store import files
from hil.errors import HilError


def write_whole(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(path, text.encode(), durable=False)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document whole, indented for people."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any | None:
    """Read a JSON document, or None while it is not there."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


@contextmanager
def held(folder: Path, taken: HilError) -> Iterator[None]:
    """Make the folder and hold its lock, or raise `taken`. The kernel lets go for a process that dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise taken from error
        yield


def free_memory(data: Path, shm_dir: Path | None = None) -> None:
    """Give back the shared memory that a killed flight process of a data directory left."""
    shutil.rmtree(image_dir(data, shm_dir), ignore_errors=True)


def toml_text(values: dict[str, Any]) -> str:
    """Write settings as TOML: plain values first, then one table for each section."""
    lines = [f"{name} = {_toml_value(value)}" for name, value in values.items() if not isinstance(value, dict)]
    for name, section in values.items():
        if isinstance(section, dict):
            lines += ["", f"[{name}]", *(f"{key} = {_toml_value(value)}" for key, value in section.items())]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool | int | float | str):
        # A JSON string is a TOML basic string but for DEL, and numbers and booleans are written alike.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    raise TypeError(f"expected a string, a number or a boolean for TOML, found {type(value).__name__}")
