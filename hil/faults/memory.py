"""Bytes that a fault can reach: of a file, of shared memory, of another process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

from hil.errors import FaultError
from hil.process import birth

_PID: Final = "pid:"
_ADDRESSES: Final = 1 << 47
"""User space of x86_64 and, with 48 bits, of aarch64."""


class Memory(Protocol):
    """`size` bytes at addresses of their own, from 0 on."""

    @property
    def size(self) -> int: ...
    @property
    def name(self) -> str:
        """What it is called in what is printed."""
        ...

    def read(self, offset: int, count: int) -> bytes: ...
    def write(self, offset: int, data: bytes) -> None: ...
    def locate(self, offset: int) -> tuple[str, int]:
        """Where a byte lies for all: a path, or "pid:N@BIRTH", and the offset or address there (`memory_at`)."""
        ...


@dataclass(frozen=True)
class FileMemory:
    """A file as bytes. In shared memory whoever maps it sees the change at once."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def size(self) -> int:
        """Its length in bytes. Raises `FaultError` where there is none."""
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise FaultError(f"There is nothing to damage at {self.path}: {error.strerror}.") from error

    def read(self, offset: int, count: int) -> bytes:
        """Bytes of the file."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, count, offset)
        finally:
            os.close(fd)

    def locate(self, offset: int) -> tuple[str, int]:
        """The file's path, and the offset."""
        return self._where, offset

    @cached_property
    def _where(self) -> str:
        return str(self.path.absolute())

    def write(self, offset: int, data: bytes) -> None:
        """Change bytes in place: the length stays."""
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise FaultError(f"{self.path} cannot be damaged: {error.strerror}.") from error
        try:
            os.pwrite(fd, data, offset)
        finally:
            os.close(fd)


@dataclass(frozen=True)
class ProcessMemory:
    """`size` bytes from `base` on of another process, through /proc/PID/mem: private pages of code are copied first.

    Needs what ptrace(2) needs: the process is ours, a child, or lets itself be traced (`--allow-faults`).
    """

    pid: int
    base: int
    size: int
    name: str

    def read(self, offset: int, count: int) -> bytes:
        """Bytes of the process. Raises `FaultError` when it is gone or does not let itself be read."""
        try:
            fd = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.pread(fd, count, self.base + offset)
            finally:
                os.close(fd)
        except (OSError, OverflowError) as error:
            raise self._refused("read", error) from error

    def locate(self, offset: int) -> tuple[str, int]:
        """The process, and the address in it."""
        return self._where, self.base + offset

    @cached_property
    def _where(self) -> str:
        return named(self.pid)

    def write(self, offset: int, data: bytes) -> None:
        """Change bytes of the process."""
        try:
            fd = os.open(f"/proc/{self.pid}/mem", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(fd, data, self.base + offset)
            finally:
                os.close(fd)
        except (OSError, OverflowError) as error:
            raise self._refused("written", error) from error

    def _refused(self, what: str, error: OSError | OverflowError) -> FaultError:
        why = error.strerror if isinstance(error, OSError) else "no such address"
        return FaultError(f"The memory of process {self.pid} cannot be {what} ({self.name}): {why}.")


def whole(pid: int) -> ProcessMemory:
    """All of a process, addresses as its own."""
    return ProcessMemory(pid, 0, _ADDRESSES, f"process {pid}")


def named(pid: int) -> str:
    """A process that runs, by its id and its birth."""
    return f"{_PID}{pid}@{birth(pid)}"


def pid_of(where: str) -> int:
    """The id in such a name."""
    return int(where.removeprefix(_PID).partition("@")[0])


def gone(where: str) -> bool:
    """Whether `where` is a process that has ended, and its memory with it."""
    return where.startswith(_PID) and named(pid_of(where)) != where


def memory_at(where: str) -> FileMemory | ProcessMemory:
    """The memory that `locate` named."""
    if not where.startswith(_PID):
        return FileMemory(Path(where))
    return whole(pid_of(where))
