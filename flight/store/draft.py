"""The text that the running query has given so far, in a file that outlives core: what ground may have seen of it.

Appended without sync: it must survive the death of the process, not of the power (after which the text is simply made
again). It is only compared with; the journal's final answer never comes from here.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

_HEADER = struct.Struct(">8sQB")
_RECORD = struct.Struct(">BI")
_MAGIC = b"ORBDRAFT"
_MAX_BYTES = 16 << 20


class DraftFile:
    """One query's text at a time. Failing to write costs the comparison after a crash, nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def begin(self, query_id: int, attempt: int) -> None:
        """Start again with nothing, for this query."""
        self.close()
        with contextlib.suppress(OSError):
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            os.write(self._fd, _HEADER.pack(_MAGIC, query_id, attempt & 0xFF))

    def append(self, kind: int, data: bytes) -> None:
        """Add bytes of a text (0 answer, 1 thinking)."""
        if self._fd is not None and data:
            with contextlib.suppress(OSError):
                os.write(self._fd, _RECORD.pack(kind, len(data)) + data)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def clear(self) -> None:
        """The query has ended."""
        self.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def read(self, query_id: int, attempt: int) -> tuple[bytes, bytes]:
        """(answer, thinking) as far as they are there; empty for another query or attempt, cut at a torn record."""
        texts = (bytearray(), bytearray())
        try:
            data = self._path.read_bytes()[:_MAX_BYTES]
        except OSError:
            return b"", b""
        if len(data) < _HEADER.size or _HEADER.unpack_from(data) != (_MAGIC, query_id, attempt & 0xFF):
            return b"", b""
        position = _HEADER.size
        while position + _RECORD.size <= len(data):
            kind, length = _RECORD.unpack_from(data, position)
            position += _RECORD.size
            if kind > 1 or position + length > len(data):
                break
            texts[kind].extend(data[position : position + length])
            position += length
        return bytes(texts[0]), bytes(texts[1])
