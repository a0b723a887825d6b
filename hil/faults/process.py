"""Another process as Linux shows it: its mappings, and a search through what it can write to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hil.errors import FaultError
from hil.faults.memory import ProcessMemory

_PIECE: Final = 16 << 20
_ADDRESSES: Final = 1 << 47
"""User space of x86_64 and, with 48 bits, of aarch64."""


@dataclass(frozen=True)
class Mapping:
    """A line of /proc/PID/maps (proc(5))."""

    start: int
    end: int
    mode: str
    path: str

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    @property
    def private_data(self) -> bool:
        """Whether it is memory that the process writes to and shares with nobody."""
        return self.mode.startswith("rw") and self.mode.endswith("p") and not self.path.startswith("[vv")


def mappings(pid: int) -> list[Mapping]:
    """The mappings of a process. Raises `FaultError` where there is none, or none that we may see."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise FaultError(f"The mappings of process {pid} cannot be read: {error.strerror}.") from error
    found = []
    for line in lines:
        span, mode, _offset, _device, _inode, *path = line.split(maxsplit=5)
        start, end = (int(one, 16) for one in span.split("-"))
        found.append(Mapping(start, end, mode, path[0] if path else ""))
    return found


def whole(pid: int) -> ProcessMemory:
    """All of a process, addresses as its own."""
    return ProcessMemory(pid, 0, _ADDRESSES, f"process {pid}")


def search(pid: int, pattern: bytes) -> Iterator[int]:
    """Addresses at which `pattern` lies in the private writable memory of a process, lowest first."""
    compiled = re.compile(re.escape(pattern), re.DOTALL)
    for start, data in pieces(pid, len(pattern)):
        for match in compiled.finditer(data):
            yield start + match.start()


def pieces(pid: int, overlap: int = 1) -> Iterator[tuple[int, bytes]]:
    """(address, bytes) of the private writable memory of a process, in pieces that share `overlap` - 1 bytes."""
    memory = whole(pid)
    for mapping in mappings(pid):
        if not mapping.private_data:
            continue
        for start in range(mapping.start, mapping.end, _PIECE):
            length = min(_PIECE + overlap - 1, mapping.end - start)
            try:
                data = memory.read(start, length)
            except FaultError:
                break  # unmapped meanwhile, or guard pages
            if data:
                yield start, data
