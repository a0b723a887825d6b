"""Another process as Linux shows it: its mappings, and a search through what it can write to."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Final

import numpy as np

from hil.errors import FaultError
from hil.faults.memory import whole

_PIECE: Final = 16 << 20
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_THERE: Final = np.uint64(3 << 62)  # present, or swapped out


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


def resident(pid: int, places: Iterable[Mapping]) -> list[tuple[int, int]]:
    """(start, end) of the pages of `places` that exist: an upset hits memory, not address space (proc(5), pagemap)."""
    spans: list[tuple[int, int]] = []
    try:
        fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FaultError(f"The pages of process {pid} cannot be read: {error.strerror}.") from error
    try:
        for place in places:
            entries = np.frombuffer(os.pread(fd, place.size // _PAGE * 8, place.start // _PAGE * 8), np.uint64)
            there = np.concatenate([[False], entries & _THERE != 0, [False]])
            edges = np.flatnonzero(there[1:] != there[:-1]) * _PAGE + place.start
            spans += zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    finally:
        os.close(fd)
    return spans


def search(pid: int, *patterns: bytes) -> list[tuple[int, bytes]]:
    """(address, pattern) of all places of `patterns` in the private writable memory of a process, by address."""
    hits: set[tuple[int, bytes]] = set()
    for start, data in _pieces(pid, max(map(len, patterns), default=1)):
        for pattern in patterns:
            found = data.find(pattern)
            while found >= 0:
                hits.add((start + found, pattern))
                found = data.find(pattern, found + 1)
    return sorted(hits)


def _pieces(pid: int, overlap: int) -> Iterator[tuple[int, bytes]]:
    """(address, bytes) of what a process can write to and shares with nobody, in pieces that share `overlap` - 1."""
    memory = whole(pid)
    for first, last in resident(pid, (one for one in mappings(pid) if one.private_data)):
        for start in range(first, last, _PIECE):
            try:
                yield start, memory.read(start, min(_PIECE + overlap - 1, last - start))
            except FaultError:
                break  # unmapped meanwhile


@dataclass(frozen=True)
class Spans:
    """Pieces of the memory of a process, one behind the other as one memory."""

    pid: int
    spans: tuple[tuple[int, int], ...]
    name: str

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(end - start for start, end in self.spans)]

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return self._starts[-1]

    def address(self, offset: int) -> int:
        """Where a byte lies in the process."""
        number = bisect_right(self._starts, offset) - 1
        return self.spans[number][0] + offset - self._starts[number]

    def locate(self, offset: int) -> tuple[str, int]:
        """The process, and the address in it."""
        return whole(self.pid).locate(self.address(offset))

    def read(self, offset: int, count: int) -> bytes:
        """Bytes, also across the pieces."""
        return b"".join(whole(self.pid).read(address, length) for address, length in self._parts(offset, count))

    def write(self, offset: int, data: bytes) -> None:
        """Change bytes, also across the pieces."""
        done = 0
        for address, length in self._parts(offset, len(data)):
            whole(self.pid).write(address, data[done : done + length])
            done += length

    def _parts(self, offset: int, count: int) -> Iterator[tuple[int, int]]:
        end = min(offset + count, self.size)
        while offset < end:
            number = bisect_right(self._starts, offset) - 1
            length = min(end, self._starts[number + 1]) - offset
            yield self.spans[number][0] + offset - self._starts[number], length
            offset += length
