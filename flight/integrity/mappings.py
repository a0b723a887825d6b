"""The code of a running process compared with its files on flash: what the CPU executes is memory too.

Covered are the pages of private, not writable file mappings of ELF files (`r-xp`, `r--p`) that are present in the
process. Those the loader never writes into must equal the file, read past the page cache; those that it relocated and
then sealed (RELRO) must stay what they were when we first looked. Not covered, and counted: files that are no ELF or
are gone, anonymous code, and pages that are not in memory (they are compared once they are).

>>> image = CodeImage.of(pid)
>>> image.check()                  # [] or what is damaged
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from crc32c import crc32c

from flight.integrity.elf import HEADER_BYTES, Segment, segments
from flight.integrity.flash import Flash

PAGE: Final = os.sysconf("SC_PAGE_SIZE")
RUN_PAGES: Final = 64
"""Pages read at once."""

_LINE: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) ([r-][w-][x-][ps]) ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+) (\d+)\s*(.*)")
_PRESENT: Final = 1 << 63  # proc(5), /proc/pid/pagemap
_ENTRY: Final = 8


class Kind(StrEnum):
    """What was hit."""

    PRIVATE = "private"
    """This process's own copy of a page: a restart brings the file's back."""
    CACHE = "cache"
    """The page cache: every process that maps the file has it, and a restart brings it back."""
    RELOCATED = "relocated"
    """A page that the loader has written: a restart makes it again."""


@dataclass(frozen=True)
class Damage:
    """A page that is not what it must be. `offset`: first differing byte of the file; `bits`: None where unknown."""

    pid: int
    path: str
    offset: int
    address: int
    kind: Kind
    bits: int | None

    def __str__(self) -> str:
        much = "" if self.bits is None else f", {self.bits} bits"
        return f"process {self.pid}: {self.path} at byte {self.offset} ({self.kind}{much})"


@dataclass
class Coverage:
    """Bytes of a process's not writable private mappings, by what is done about them."""

    compared: int = 0
    """Of ELF files, compared with flash when present."""
    relocated: int = 0
    """Compared with what they were when first seen."""
    skipped: int = 0
    """Not compared: no ELF, no file any more, or no file at all."""
    through_cache: int = 0
    """Of `compared`: on a device that cannot be read past the page cache, so that damage there may not show."""


@dataclass(frozen=True)
class _Region:
    start: int
    pages: int
    offset: int
    file: _File
    relocated: frozenset[int]
    """Numbers of the pages that lie in a writable segment."""


class _File:
    """A mapped file: its pages' CRC-32C as read from flash, each read once and again on suspicion."""

    def __init__(self, path: Path, header_of: tuple[Segment, ...], flash: Flash) -> None:
        self.path = path
        self.segments = header_of
        self.flash = flash
        self._codes: dict[int, int] = {}
        self.runs: dict[tuple[int, int], int] = {}
        """CRC-32C of runs (first page, pages) each of whose pages was as on flash: most comparisons end here."""

    def code(self, page: int) -> int:
        """CRC of a page of the file."""
        if page not in self._codes:
            data = self._read(page, RUN_PAGES)
            for number in range(len(data) // PAGE):
                self._codes.setdefault(page + number, crc32c(data[number * PAGE : (number + 1) * PAGE]))
        return self._codes[page]

    def again(self, page: int) -> bytes:
        """The page, read from flash now; its code is renewed."""
        data = self._read(page, 1)
        self._codes[page] = crc32c(data)
        return data

    def cached(self, page: int) -> bytes:
        """The page as the page cache has it."""
        with open(self.path, "rb", buffering=0) as file:
            return os.pread(file.fileno(), PAGE, page * PAGE).ljust(PAGE, b"\0")

    def _read(self, page: int, count: int) -> bytes:
        data = self.flash.read(page * PAGE, count * PAGE)
        whole = max(PAGE, -(-len(data) // PAGE) * PAGE)
        return data.ljust(whole, b"\0")  # beyond the end of the file the last page is zeros


class Files:
    """Mapped files by device, inode and path, shared by all processes that are looked at."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, int, str], _File | None] = {}

    def get(self, device: str, inode: int, path: str) -> _File | None:
        """The file of a mapping; None where it is no ELF, or another one lies under its name by now."""
        key = (device, inode, path)
        if key not in self._files:
            self._files[key] = self._open(inode, Path(path)) if inode and path.startswith("/") else None
        return self._files[key]

    def close(self) -> None:
        """Let all files go."""
        for file in self._files.values():
            if file is not None:
                file.flash.close()
        self._files.clear()

    @staticmethod
    def _open(inode: int, path: Path) -> _File | None:
        try:
            if path.stat().st_ino != inode:
                return None
            flash = Flash(path)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            if found := segments(flash.read(0, HEADER_BYTES)):
                return _File(path, found, flash)
        flash.close()
        return None


class CodeImage:
    """The code of one process. Reading it needs what ptrace needs: the same user, and under Yama a word by the child.

    Methods raise OSError when the process is gone or may not be read.
    """

    def __init__(self, pid: int, files: Files) -> None:
        self.pid = pid
        self.coverage = Coverage()
        self._files = files
        self._sealed: dict[int, int] = {}
        """CRC of relocated pages by address, as they were when first seen."""
        self._began = start_time(pid)
        self._room = memoryview(bytearray(RUN_PAGES * PAGE))

    @classmethod
    def of(cls, pid: int, files: Files | None = None) -> Self:
        """The code of a process as it is now; what is relocated counts as right from here on."""
        image = cls(pid, files or Files())
        for _ in image._walk(judge=False):
            pass
        return image

    def check(self, pace: Callable[[int], None] = lambda _bytes: None) -> list[Damage]:
        """One pass over all present pages; `pace` is told how many bytes were looked at, and may sleep."""
        found: list[Damage] = []
        for step in self.walk():
            if isinstance(step, Damage):
                found.append(step)
            else:
                pace(step)
        return found

    def walk(self) -> Iterator[int | Damage]:
        """A pass in pieces: bytes looked at, and damage as it is found."""
        return self._walk(judge=True)

    def _walk(self, *, judge: bool) -> Iterator[int | Damage]:
        if start_time(self.pid) != self._began:
            raise ProcessLookupError(f"process {self.pid} is another one by now")
        regions = self._regions()
        memory = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            pagemap = os.open(f"/proc/{self.pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
            try:
                for region in regions:
                    for first in range(0, region.pages, RUN_PAGES):
                        yield from self._run(memory, pagemap, region, first, judge=judge)
            finally:
                os.close(pagemap)
        finally:
            os.close(memory)

    def _run(self, memory: int, pagemap: int, region: _Region, first: int, *, judge: bool) -> Iterator[int | Damage]:
        count = min(RUN_PAGES, region.pages - first)
        address = region.start + first * PAGE
        wanted = [
            number
            for number in _present(pagemap, address, count)
            if judge or first + number in region.relocated  # the first look is only for what has no file to compare
        ]
        if not wanted:
            return
        low, high = wanted[0], wanted[-1] + 1
        size = os.preadv(memory, [self._room[: (high - low) * PAGE]], address + low * PAGE)
        data = self._room[:size]
        run = (region.offset // PAGE + first + low, high - low)
        plain = (
            len(wanted) == high - low
            and len(data) == (high - low) * PAGE
            and not region.relocated.intersection(range(first + low, first + high))
        )
        if plain and crc32c(data) == region.file.runs.get(run):
            yield len(data)
            return
        sound = True
        for number in wanted:
            page = data[(number - low) * PAGE : (number - low + 1) * PAGE]
            if len(page) < PAGE:
                continue  # unmapped meanwhile
            where = address + number * PAGE
            if first + number in region.relocated:
                damage = self._judge_sealed(region, where, page)
            else:
                damage = self._judge(region, where, page)
            if damage is not None:
                sound = False
                yield damage
        if plain and sound:
            region.file.runs[run] = crc32c(data)
        yield len(data)

    def _judge(self, region: _Region, address: int, page: memoryview) -> Damage | None:
        number = (region.offset + address - region.start) // PAGE
        if crc32c(page) == region.file.code(number):
            return None
        right = region.file.again(number)
        if page == right:  # the code in our own memory was hit
            return None
        cache = region.file.cached(number) != right
        first = next(index for index, (one, other) in enumerate(zip(page, right, strict=True)) if one != other)
        bits = (int.from_bytes(page, "little") ^ int.from_bytes(right, "little")).bit_count()
        kind = Kind.CACHE if cache else Kind.PRIVATE
        return Damage(self.pid, str(region.file.path), number * PAGE + first, address + first, kind, bits)

    def _judge_sealed(self, region: _Region, address: int, page: memoryview) -> Damage | None:
        if crc32c(page) == self._sealed.setdefault(address, crc32c(page)):
            return None
        offset = region.offset + address - region.start
        return Damage(self.pid, str(region.file.path), offset, address, Kind.RELOCATED, None)

    def _regions(self) -> list[_Region]:
        """The mappings to look at now, and the coverage that follows."""
        covered, found = Coverage(), []
        bases: dict[str, int] = {}
        for line in Path(f"/proc/{self.pid}/maps").read_text(errors="surrogateescape").splitlines():
            match = _LINE.fullmatch(line)
            if match is None:
                continue
            start, end, modes, offset = int(match[1], 16), int(match[2], 16), match[3], int(match[4], 16)
            if offset == 0 and match[7]:
                bases.setdefault(match[7], start)
            if modes not in ("r-xp", "r--p"):
                continue
            file = self._files.get(match[5], int(match[6]), match[7])
            if file is None or match[7] not in bases:
                covered.skipped += end - start
                continue
            pages = (end - start) // PAGE
            bias = bases[match[7]] - file.segments[0].address // PAGE * PAGE
            written = _written(file.segments, start - bias, pages)
            covered.relocated += len(written) * PAGE
            covered.compared += (pages - len(written)) * PAGE
            covered.through_cache += 0 if file.flash.direct else (pages - len(written)) * PAGE
            found.append(_Region(start, pages, offset, file, written))
        self.coverage = covered
        return found


def _written(found: tuple[Segment, ...], address: int, pages: int) -> frozenset[int]:
    """Which of `pages` pages from `address`, as the file counts addresses, lie in a writable segment."""
    numbers: set[int] = set()
    for each in found:
        if each.writable and each.memory_bytes:
            first = each.address // PAGE - address // PAGE
            end = -(-(each.address + each.memory_bytes) // PAGE) - address // PAGE
            numbers.update(range(max(0, first), min(pages, end)))
    return frozenset(numbers)


def _present(pagemap: int, address: int, count: int) -> list[int]:
    """Which of `count` pages from `address` are in the process's memory."""
    data = os.pread(pagemap, count * _ENTRY, address // PAGE * _ENTRY)
    entries = memoryview(data[: len(data) // _ENTRY * _ENTRY]).cast("Q")
    return [number for number, entry in enumerate(entries) if entry & _PRESENT]


def start_time(pid: int) -> int:
    """When the process began, in clock ticks after boot (proc(5), field 22): a process id may be given anew."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
