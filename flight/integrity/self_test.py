"""Whether scrubber and verifier still find and undo damage: a flip is planted in a private page, where nobody computes.

The image is mapped a second time, copy-on-write: the flip lies in memory of this process alone. It must be found by the
scanner with the run codes in use, in exactly that page, and undone by the ladder; without it nothing may be found.
"""

from __future__ import annotations

import mmap
from pathlib import Path

from flight.integrity.finding import Outcome
from flight.integrity.guard import Guard

_STRIDE = 7919  # a prime: page after page in no order, until all have been used


class Blind(Exception):  # noqa: N818 - a state of the process, which ends with it
    """The planted flip was not found, or not undone: nothing that this process says of the image can be trusted."""


class SelfTest:
    """Plants a flip in another page and bit each time. `done` counts the tests that were passed."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.done = 0
        self._turn = 0

    def run(self) -> bool:
        """Test once; False when the chosen page is damaged itself, so that nothing was tested. Raises `Blind`."""
        guard, turn = self._guard, self._turn
        self._turn += 1
        pages = guard.ladder.codes.pages
        page = turn * _STRIDE % pages.count
        start, end = pages.span(page)
        bit = turn * 31 % (8 * (end - start))
        private = _private(guard.settings.image, pages.bytes)
        try:
            view = memoryview(private)
            ladder = guard.ladder.over(view, lambda _offset, _length: b"")
            scanner = ladder.image
            run = start // scanner.run_bytes
            if scanner.scan(run, 1):
                return False
            right = bytes(view[start:end])
            view[start + bit // 8] ^= 1 << bit % 8
            found = scanner.scan(run, 1)
            if found != [page]:
                raise Blind(f"a flip was planted in page {page}, and the scanner found pages {found}")
            (finding,) = ladder.repair(found)
            if finding.outcome is not Outcome.BIT or bytes(view[start:end]) != right:
                raise Blind(f"a flip was planted in page {page}, and the ladder says: {finding.sentence()}")
        finally:
            del private
        self.done += 1
        return True


def _private(path: Path, size: int) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
