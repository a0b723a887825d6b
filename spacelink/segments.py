"""Texts in numbered segments: cut on board while they stream, put together on ground in whatever order they come.

Segments have one fixed size (number = offset / size; only the last may be shorter), so that the same piece of a text
has the same number for ever, whether it is sent for the first time or again. Pure and sans-I/O.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from spacelink.dictionary import DICTIONARY

SEGMENT_BYTES: Final[int] = DICTIONARY.reports["inference.segment"].field("data").max_size
"""Size of a full segment, from the dictionary."""

MOST_SEGMENTS: Final = 65536
"""A segment's number is a u16."""


@dataclass(frozen=True)
class Segment:
    """Bytes of a text that begin at `number` times the segment size."""

    number: int
    data: bytes


@dataclass(frozen=True)
class Range:
    """`count` segments from number `first` on."""

    first: int
    count: int


def segment_count(total_bytes: int, size: int = SEGMENT_BYTES) -> int:
    """Return how many segments a text of that length has; an empty text has none."""
    return -(-total_bytes // size)


def cut(data: bytes, size: int = SEGMENT_BYTES) -> list[Segment]:
    """Return all segments of a text."""
    return [
        Segment(number, data[number * size : (number + 1) * size]) for number in range(segment_count(len(data), size))
    ]


def cut_ranges(data: bytes, ranges: Iterable[Range], size: int = SEGMENT_BYTES) -> Iterator[Segment]:
    """Yield the segments of a text that the ranges ask for and that exist, each once; no range means all."""
    ranges = list(ranges) or [Range(0, MOST_SEGMENTS)]
    end = segment_count(len(data), size)
    wanted = {number for one in ranges for number in range(one.first, min(one.first + one.count, end))}
    for number in sorted(wanted):
        yield Segment(number, data[number * size : (number + 1) * size])


class Cutter:
    """Cuts a text that is still being written: a segment comes out as soon as it is full, the rest on `close`."""

    def __init__(self, size: int = SEGMENT_BYTES) -> None:
        self._size = size
        self._rest = b""
        self._next = 0
        self._digest = hashlib.sha256()

    @property
    def total_bytes(self) -> int:
        """Bytes fed so far."""
        return self._next * self._size + len(self._rest)

    @property
    def sha256(self) -> bytes:
        """SHA-256 of the bytes fed so far."""
        return self._digest.digest()

    def feed(self, data: bytes) -> list[Segment]:
        """Take the next bytes of the text and return the segments that they fill."""
        self._digest.update(data)
        self._rest += data
        full = cut(self._rest[: len(self._rest) // self._size * self._size], self._size)
        first, self._next = self._next, self._next + len(full)
        self._rest = self._rest[len(full) * self._size :]
        return [Segment(first + one.number, one.data) for one in full]

    def close(self) -> list[Segment]:
        """Return the last segment where a shorter one is left. Nothing may be fed after it."""
        return [Segment(self._next, self._rest)] if self._rest else []


class Assembler:
    """Puts a text together from segments that come late, twice, out of order, or not at all.

    What is impossible (a wrong size, a number beyond the end) is not taken and counted in `refused`; a later attempt
    voids what came of the earlier ones. `expect` says what the receipt says; without it the end is unknown.
    """

    def __init__(self, size: int = SEGMENT_BYTES) -> None:
        self.size = size
        self.attempt = 0
        self.refused = 0
        self.duplicates = 0
        self.total_bytes: int | None = None
        self.sha256: bytes | None = None
        self._segments: dict[int, bytes] = {}

    def add(self, number: int, data: bytes, attempt: int = 0) -> bool:
        """Take a segment; return whether it brought anything new."""
        if attempt > self.attempt:
            self._begin(attempt)
        if attempt < self.attempt or not self._possible(number, data):
            self.refused += 1
            return False
        if number in self._segments:
            self.duplicates += 1
            return False
        self._segments[number] = bytes(data)
        return True

    def expect(self, total_bytes: int, sha256: bytes, *, attempt: int = 0) -> None:
        """Take from a receipt how long the text is and what it hashes to; segments that cannot belong to it go."""
        if attempt < self.attempt:
            return
        if attempt > self.attempt:
            self._begin(attempt)
        self.total_bytes = total_bytes
        self.sha256 = bytes(sha256)
        kept = {number: data for number, data in self._segments.items() if self._possible(number, data)}
        self.refused += len(self._segments) - len(kept)
        self._segments = kept

    def discard(self) -> None:
        """Drop all segments, so that everything is missing again: for a text that is complete and not what was sent."""
        self._segments.clear()

    @property
    def have(self) -> int:
        """How many segments are here."""
        return len(self._segments)

    @property
    def total(self) -> int | None:
        """How many segments the text has, None while nobody has said so."""
        return None if self.total_bytes is None else segment_count(self.total_bytes, self.size)

    @property
    def complete(self) -> bool:
        """Whether every segment is here; False while the end is unknown."""
        return self.total == self.have

    @property
    def verified(self) -> bool:
        """Whether the text is complete and its SHA-256 is the one that was expected."""
        return self.complete and self.sha256 == hashlib.sha256(self.join()).digest()

    def missing(self, limit: int | None = None) -> list[Range]:
        """Return the gaps in order, at most `limit`; while the end is unknown, those before the last segment here."""
        end = max(self._segments, default=-1) + 1 if self.total is None else self.total
        gaps: list[Range] = []
        first = 0
        for number in [*sorted(self._segments), end]:
            if number > first:
                gaps.append(Range(first, number - first))
            first = number + 1
        return gaps if limit is None else gaps[:limit]

    def join(self) -> bytes:
        """Return the bytes from the beginning up to the first gap: the whole text when it is complete."""
        parts: list[bytes] = []
        while (part := self._segments.get(len(parts))) is not None:
            parts.append(part)
        return b"".join(parts)

    def text(self) -> str:
        """Return `join` as text: a character that the first gap cuts waits, bytes that are no UTF-8 show as U+FFFD."""
        data = self.join()
        if not self.complete:
            data = _whole_characters(data)
        return data.decode(errors="replace")

    def _begin(self, attempt: int) -> None:
        self.attempt = attempt
        self.total_bytes = self.sha256 = None
        self._segments.clear()

    def _possible(self, number: int, data: bytes) -> bool:
        if not 0 <= number < MOST_SEGMENTS or not 0 < len(data) <= self.size:
            return False
        if self.total_bytes is None:
            return True
        return len(data) == min(self.size, self.total_bytes - number * self.size)


def _whole_characters(data: bytes) -> bytes:
    """Return `data` without an incomplete UTF-8 character at its end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0xC0:  # a leading byte: 110xxxxx, 1110xxxx or 11110xxx announces 2, 3 or 4 bytes
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if needed > back else data
        if byte & 0x80 == 0:
            return data
    return data
