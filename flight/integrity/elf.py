"""As much of an ELF file as says which of its pages the loader writes into. ELF-64, little-endian (x86_64, aarch64)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

HEADER_BYTES: Final = 4096
"""The program headers of what is mapped here follow the file header, well within this."""

_FILE: Final = struct.Struct("<4sBB10xHHIQQQIHHHHHH")  # System V ABI, ELF header of 64-bit objects
_PROGRAM: Final = struct.Struct("<IIQQQQQQ")
_LOAD: Final = 1
_WRITE: Final = 2


@dataclass(frozen=True)
class Segment:
    """A loaded segment: file offset, address and sizes in bytes; `writable` as the file asks, before any RELRO."""

    offset: int
    address: int
    file_bytes: int
    memory_bytes: int
    writable: bool


def segments(header: bytes) -> tuple[Segment, ...] | None:
    """The loaded segments by the first `HEADER_BYTES` of a file; None where it is no ELF-64 file that we know."""
    if len(header) < _FILE.size:
        return None
    magic, bits, order, _kind, _machine, _version, _entry, table, _, _, _, size, count, *_ = _FILE.unpack_from(header)
    if magic != b"\x7fELF" or (bits, order) != (2, 1) or size != _PROGRAM.size:
        return None
    if table + count * size > len(header):
        return None
    found = []
    for number in range(count):
        kind, flags, offset, address, _, file_bytes, memory_bytes, _ = _PROGRAM.unpack_from(
            header, table + number * size
        )
        if kind == _LOAD:
            found.append(Segment(offset, address, file_bytes, memory_bytes, bool(flags & _WRITE)))
    return tuple(found)
