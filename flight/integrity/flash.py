"""The model file read past the page cache: a cached page is memory too, and may be what was hit."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_BLOCK: Final = 4096
"""Alignment that O_DIRECT accepts on every usual device (open(2), NOTES)."""


class Flash:
    """A file open for re-reading. `direct`: reads go to the device; otherwise the cache is asked to let go first."""

    def __init__(self, path: Path) -> None:
        """Open `path`; the file stays the same one even if another takes its name. Raises OSError."""
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._direct: int | None = None
        with contextlib.suppress(OSError):  # tmpfs and some others refuse O_DIRECT
            self._direct = os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)

    @property
    def direct(self) -> bool:
        """Whether reads pass the cache by."""
        return self._direct is not None

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer at the end of the file. Raises OSError when the device fails."""
        if self._direct is not None:
            try:
                return self._read_direct(self._direct, offset, length)
            except OSError as error:
                if error.errno != errno.EINVAL:  # EINVAL: the file system wants another alignment
                    raise
                os.close(self._direct)
                self._direct = None
        os.posix_fadvise(self._fd, offset, length, os.POSIX_FADV_DONTNEED)
        return os.pread(self._fd, length, offset)

    def close(self) -> None:
        """Let the file go."""
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None
        os.close(self._fd)

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None) -> None:
        """Close."""
        self.close()

    @staticmethod
    def _read_direct(fd: int, offset: int, length: int) -> bytes:
        before = offset % _BLOCK
        room = -(-(before + length) // _BLOCK) * _BLOCK
        with mmap.mmap(-1, room) as buffer:  # anonymous mappings are page-aligned
            count = os.preadv(fd, [buffer], offset - before)
            return buffer[before : min(before + length, count)]
