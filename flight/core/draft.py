"""A text while it is made: cut into segments as they fill, and compared with what was sent when it is made again."""

from __future__ import annotations

from spacelink import Cutter, Segment


class Draft:
    """One kind of text (answer or thinking) of one query, over all its runs.

    A run that is made again must give the same bytes; then only what is new goes out. `feed` returns None when it does
    not: the caller raises the attempt and calls `void`.
    """

    def __init__(self, sent: bytes = b"") -> None:
        """`sent`: what an earlier run had given, perhaps sent by a core that is gone; all of it goes out again."""
        self._sent = b""
        self._text = bytearray()
        self._cutter = Cutter()
        self._expected = bytes(sent)

    @property
    def text(self) -> bytes:
        """The text of this run so far."""
        return bytes(self._text)

    @property
    def longest(self) -> bytes:
        """The text so far of this run or, while that is longer, of the runs before: what segments can be had of."""
        return max(self._sent, self.text, key=len)

    @property
    def sha256(self) -> bytes:
        """SHA-256 of what went through the cutter; equals that of `text` once the run has caught up."""
        return self._cutter.sha256

    def again(self) -> None:
        """A new run begins."""
        self._sent = self.longest
        self._text.clear()

    def feed(self, delta: bytes) -> list[Segment] | None:
        """Take the next bytes of this run; return the segments that they fill, None when they differ from before."""
        start = len(self._text)
        self._text += delta
        for known in (self._sent, self._expected):
            end = min(len(self._text), len(known))
            if self._text[start:end] != known[start:end]:
                return None
        fresh = max(start, len(self._sent))
        return self._cutter.feed(bytes(self._text[fresh:])) if len(self._text) > fresh else []

    def void(self) -> list[Segment]:
        """What was sent before counts no more; return the segments of this run so far."""
        self._sent = self._expected = b""
        self._cutter = Cutter()
        return self._cutter.feed(self.text)

    def shorter(self) -> bool:
        """At the end of a run: whether it stopped before the text that was made before it."""
        return len(self._text) < max(len(self._sent), len(self._expected))

    def close(self) -> list[Segment]:
        """The last, shorter segment."""
        return self._cutter.close()
