"""The two texts of a query, put together from their segments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ground.station.parts import KINDS, Part
from spacelink import Assembler, Range


class Texts:
    """Answer and thinking text of one attempt. `fresh` and `dropped` are what the archive has not heard of yet."""

    def __init__(self) -> None:
        self.fresh: list[Part] = []
        """Segments that the archive has not seen."""
        self.dropped = False
        """Segments in the archive are void."""
        self._texts = {kind: Assembler() for kind in KINDS.values()}

    def restore(self, parts: Iterable[Part], attempt: int) -> None:
        """Take the segments of this attempt from the archive."""
        for part in parts:
            if part.attempt == attempt:
                self._texts[part.kind].add(part.number, part.data)

    def add(self, part: Part) -> bool:
        """Take a segment; False when it brought nothing new."""
        if not self._texts[part.kind].add(part.number, part.data):
            return False
        self.fresh.append(part)
        return True

    def drop(self) -> None:
        """Everything is void: another attempt, another run, or not the text of the receipt."""
        self._texts = {kind: Assembler() for kind in KINDS.values()}
        self.fresh = []
        self.dropped = True

    def expect(self, receipt: dict[str, Any] | None) -> None:
        """Take lengths and hashes from the receipt (as the record keeps it)."""
        if receipt is None:
            return
        for name, kind in KINDS.items():
            if self._texts[kind].size != receipt["segment_bytes"]:
                self._texts[kind] = Assembler(int(receipt["segment_bytes"]))
            self._texts[kind].expect(int(receipt[f"{name}_bytes"]), bytes.fromhex(receipt[f"{name}_sha256"]))

    def missing(self, limit: int) -> tuple[str, list[Range]] | None:
        """Name of the first text with gaps, and at most `limit` of them; None when there is none."""
        for name, kind in KINDS.items():
            if gaps := self._texts[kind].missing(limit):
                return name, gaps
        return None

    @property
    def complete(self) -> bool:
        """Whether every segment is here; False before the receipt."""
        return all(text.complete for text in self._texts.values())

    @property
    def right(self) -> bool:
        """Whether the complete texts are those of the receipt; a query without thinking has no text to compare."""
        answer, thinking = self._texts.values()
        return answer.verified and (thinking.verified or not thinking.total)

    @property
    def readable(self) -> tuple[str, str]:
        """Answer and thinking text before their first gaps, and no half character at the end."""
        answer, thinking = self._texts.values()
        return answer.text(), thinking.text()

    @property
    def raw(self) -> dict[str, str]:
        """The bytes (hex), by name, of complete texts that are no UTF-8, so that `readable` cannot give them back."""
        found = {name: self._texts[kind].join() for name, kind in KINDS.items()}
        return {name: data.hex() for name, data in found.items() if data.decode(errors="replace").encode() != data}

    @property
    def count(self) -> tuple[int, int | None]:
        """Segments here, and segments in all (None before the receipt)."""
        totals = [text.total for text in self._texts.values()]
        total = None if totals[0] is None else sum(each or 0 for each in totals)
        return sum(text.have for text in self._texts.values()), total
