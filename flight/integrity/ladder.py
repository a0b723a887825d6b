"""The repair ladder over one image: damage is found, climbs rung by rung, and is repaired only with proof (DESIGN §4).

>>> ladder = Ladder(view, codes, parity, flash.read, TensorMap(manifest.tensors))
>>> for finding in ladder.check():           # a full pass; [] when every byte is as it was
...     print(finding.sentence())

Every rung only proposes bytes. A proposal is made in private memory, must agree with CRC-32C and XXH3-64 of the page,
is written where it differs, and must agree again when read back from the image; otherwise nothing counts as repaired.
What no rung can repair is returned as unrepaired: the other slot and safe mode are the caller's.
"""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from flight.integrity.codes import Code, Codes, Table
from flight.integrity.finding import Finding, Outcome, Part
from flight.integrity.map import Place, TensorMap
from flight.integrity.parity import Parity
from flight.integrity.scan import Scanner
from flight.integrity.syndrome import Locator

_PLACES: Final = 8
_CODES_LOST: Final = "both copies of its codes are lost, so nothing can be proven: read the page codes again"
_STUCK: Final = "the memory does not hold the right bytes when they are written: a bit is stuck"

Reread = Callable[[int, int], bytes]
"""(offset, length) -> the bytes of the model file on flash, past the page cache; OSError when it cannot be read."""


@dataclass(frozen=True)
class _Damaged:
    """A page that a pass reported."""

    part: Part
    page: int


class Ladder:
    """Checks and repairs `view`, the writable bytes of an image, and the parity and codes that guard it."""

    def __init__(self, view: memoryview, codes: Codes, parity: Parity, reread: Reread, tensors: TensorMap) -> None:
        """Take the image and what guards it. `counters` begins at zero: ("image", "bit") -> how often.

        For a paced pass, `image` and `stripes` scan a part of the pages at a time, `repair` takes what they found.
        """
        self.codes = codes
        self.parity = parity
        self.image = Scanner(view, codes.image)
        self.stripes = Scanner(parity.view, codes.parity)
        self._views = {Part.IMAGE: view, Part.PARITY: parity.view}
        self._reread = reread
        self._tensors = tensors
        self.counters: Counter[tuple[Part, Outcome]] = Counter()

    def over(self, view: memoryview, reread: Reread) -> Ladder:
        """The same codes and parity over other memory, counters at zero: the self-test's (`Scanner.over`)."""
        other = copy.copy(self)
        other.image = self.image.over(view)
        other._views = {**self._views, Part.IMAGE: view}
        other._reread = reread
        other.counters = Counter()
        return other

    def check(self, *, deep: bool = False) -> list[Finding]:
        """A full pass: codes, parity, image; damage is repaired. `deep` compares XXH3-64 of every page too."""
        findings = self.check_codes()
        damaged = self.stripes.scan(deep=deep)
        return findings + self.repair(self.image.scan(deep=deep), damaged)

    def check_codes(self) -> list[Finding]:
        """Compare the two copies of the page codes, block by block, and restore one from the other."""
        findings = []
        for block, mended in self.codes.mending():
            if mended is None:
                findings.append(Finding(Part.CODES, block, Outcome.UNREPAIRED, reason="both copies are damaged"))
            elif mended:
                findings.append(Finding(Part.CODES, block, Outcome.COPY))
        return self._counted(findings)

    def repair(self, pages: Iterable[int], parity_pages: Iterable[int] = ()) -> list[Finding]:
        """Send pages (and parity pages) that a pass reported up the ladder; one finding for each.

        All of them try a rung before any tries the next: a page repaired on a low rung often gives its stripe back.
        """
        pending = [_Damaged(Part.IMAGE, page) for page in pages]
        pending += [_Damaged(Part.PARITY, page) for page in parity_pages]
        rungs = (Outcome.BIT, Outcome.PARITY, Outcome.FLASH)
        reasons: dict[_Damaged, str] = {}
        findings: list[Finding] = []
        level = 0
        while pending and level < len(rungs):
            rest = []
            for damaged in pending:
                finding = self._climb(damaged, rungs[level], reasons)
                if finding is None:
                    rest.append(damaged)
                else:
                    findings.append(finding)
            # A page that was given back may complete the stripe of another: parity first, once more.
            level = 1 if level and len(rest) < len(pending) else level + 1
            pending = rest
        findings += [self._unrepaired(damaged, reasons[damaged]) for damaged in pending]
        return self._counted(findings)

    def tell(self, pages: Iterable[int], parity_pages: Iterable[int], reason: str) -> list[Finding]:
        """Findings for pages that a pass reported, without a repair; nothing is written."""
        damaged = [_Damaged(Part.IMAGE, page) for page in pages]
        damaged += [_Damaged(Part.PARITY, page) for page in parity_pages]
        return self._counted([self._unrepaired(one, reason) for one in damaged])

    def _counted(self, findings: list[Finding]) -> list[Finding]:
        self.counters.update((finding.part, finding.outcome) for finding in findings)
        return findings

    def _table(self, part: Part) -> Table:
        return self.codes.image if part is Part.IMAGE else self.codes.parity

    def _climb(self, damaged: _Damaged, rung: Outcome, reasons: dict[_Damaged, str]) -> Finding | None:
        """Try one rung; None leaves the page to the next one, with the reason noted."""
        table = self._table(damaged.part)
        code = table.code(damaged.page)
        if code is None:
            return self._unrepaired(damaged, _CODES_LOST)
        start, end = table.pages.span(damaged.page)
        found = bytes(self._views[damaged.part][start:end])
        if code.proves(found):
            return Finding(damaged.part, damaged.page, Outcome.GONE, tensors=self._names(damaged))
        proposal, reason = self._propose(damaged, rung, found, code)
        if proposal is None or not code.proves(proposal):
            reasons[damaged] = "; ".join(filter(None, (reasons.get(damaged, ""), reason)))
            return None
        if not self._write(damaged.part, start, found, proposal, code):
            return self._unrepaired(damaged, _STUCK)
        bits, places = self._differences(damaged, start, found, proposal)
        return Finding(damaged.part, damaged.page, rung, bits, places, self._names(damaged))

    def _propose(self, damaged: _Damaged, rung: Outcome, found: bytes, code: Code) -> tuple[bytes | None, str]:
        """What `rung` takes for the right bytes (unproven), and the reason to give if they are not."""
        if rung is Outcome.BIT:
            return self._flip(found, code), "more than one bit is wrong"
        image = self._views[Part.IMAGE]
        if rung is Outcome.PARITY:
            make = self.parity.rebuild if damaged.part is Part.IMAGE else self.parity.remake
            return make(image, damaged.page), "its stripe holds more damage"
        try:
            return self._from_flash(damaged), "flash holds other bytes"
        except OSError as error:
            return None, f"flash cannot be read ({error.strerror or error})"

    def _flip(self, found: bytes, code: Code) -> bytes | None:
        bit = _locator().locate(Code.of(found).crc ^ code.crc, len(found))
        if bit is None:
            return None
        proposal = bytearray(found)
        proposal[bit // 8] ^= 1 << bit % 8
        return bytes(proposal)

    def _from_flash(self, damaged: _Damaged) -> bytes:
        pages = self.codes.pages
        if damaged.part is Part.IMAGE:
            start, end = pages.span(damaged.page)
            return self._reread(start, end - start)
        total = np.zeros(pages.page_bytes, np.uint8)
        for member in pages.members(damaged.page):
            start, end = pages.span(member)
            data = np.frombuffer(self._reread(start, end - start), np.uint8)
            total[: data.size] ^= data
        return total.tobytes()

    def _write(self, part: Part, start: int, found: bytes, proposal: bytes, code: Code) -> bool:
        """Write the bytes that differ; True when the page then reads back as its codes say."""
        view = self._views[part]
        differ = np.flatnonzero(np.frombuffer(found, np.uint8) != np.frombuffer(proposal, np.uint8))
        first, last = int(differ[0]), int(differ[-1]) + 1
        self._store(view, start + first, proposal[first:last])
        return code.proves(view[start : start + len(proposal)])

    def _store(self, view: memoryview, offset: int, data: bytes) -> None:
        """The one place that writes to the image: a test puts a stuck bit here."""
        view[offset : offset + len(data)] = data

    def _differences(
        self, damaged: _Damaged, start: int, found: bytes, proposal: bytes
    ) -> tuple[int, tuple[Place, ...]]:
        """How many bits differed, and what the first of them are."""
        delta = np.frombuffer(found, np.uint8) ^ np.frombuffer(proposal, np.uint8)
        bytes_wrong = np.flatnonzero(delta)
        bits = int.from_bytes(delta.tobytes(), "little").bit_count()
        if damaged.part is not Part.IMAGE:
            return bits, ()
        wrong = [(int(at), bit) for at in bytes_wrong[:_PLACES] for bit in range(8) if delta[at] >> bit & 1]
        return bits, tuple(self._tensors.place(start + at, bit) for at, bit in wrong[:_PLACES])

    def _names(self, damaged: _Damaged) -> tuple[str, ...]:
        if damaged.part is not Part.IMAGE:
            return ()
        return self._tensors.tensors(*self.codes.pages.span(damaged.page))

    def _unrepaired(self, damaged: _Damaged, reason: str) -> Finding:
        return Finding(damaged.part, damaged.page, Outcome.UNREPAIRED, tensors=self._names(damaged), reason=reason)


@functools.cache
def _locator() -> Locator:
    """Its tables, made when the first damage is looked at; nothing that they say counts without proof."""
    return Locator()


def worst(findings: Sequence[Finding]) -> Finding | None:
    """The first finding that no rung repaired: what the caller has to act on."""
    return next((finding for finding in findings if not finding.repaired), None)
