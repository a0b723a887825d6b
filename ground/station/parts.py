"""Segments of one text, joined as they come: in any order, doubled, with gaps."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

KINDS = {"answer": 0, "thinking": 1}
"""Names of the two texts in the dictionary, and the numbers under which the archive keeps them."""


@dataclass(frozen=True)
class Part:
    """One segment, as the archive keeps it."""

    kind: int
    number: int
    attempt: int
    data: bytes


class Parts:
    """The segments of one text of one attempt."""

    def __init__(self) -> None:
        self._data: dict[int, bytes] = {}
        self._whole = 0
        self._text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __len__(self) -> int:
        return len(self._data)

    def add(self, number: int, data: bytes) -> bool:
        """Keep a segment; False when it was here already (the first one stays)."""
        if number in self._data:
            return False
        self._data[number] = data
        while (following := self._data.get(self._whole)) is not None:
            self._text += self._decoder.decode(following)
            self._whole += 1
        return True

    def missing(self, total: int | None) -> list[dict[str, int]]:
        """Gaps as `{"first", "count"}`: below the highest number here, or below `total` once the receipt tells it."""
        top = max(self._data, default=-1) + 1 if total is None else total
        gaps: list[dict[str, int]] = []
        for number in range(self._whole, top):
            if number in self._data:
                continue
            if gaps and gaps[-1]["first"] + gaps[-1]["count"] == number:
                gaps[-1]["count"] += 1
            else:
                gaps.append({"first": number, "count": 1})
        return gaps

    def readable(self) -> str:
        """The text before the first gap, without half a character at its end."""
        return self._text

    def joined(self) -> bytes:
        """All bytes before the first gap."""
        return b"".join(self._data[number] for number in range(self._whole))
