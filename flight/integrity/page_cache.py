"""The page cache between a file on flash and those who map it: whether it is right, and how to be rid of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from flight.integrity.flash import Flash

_PIECE: Final = 1 << 20


def cached_rightly(path: Path) -> bool:
    """Whether the page cache has of a file what flash has. Raises OSError."""
    with Flash(path) as flash, open(path, "rb", buffering=0) as file:
        offset = 0
        while data := flash.read(offset, _PIECE):
            if os.pread(file.fileno(), len(data), offset) != data:
                return False
            offset += len(data)
    return True


def drop_from_cache(path: Path) -> None:
    """Ask the kernel to let go of a file's pages; those that a process maps stay. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
