"""An image of any bytes with its codes, parity and a flash that a test can damage."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from pathlib import Path

from flight.integrity.codes import Code, Codes, Table
from flight.integrity.finding import Finding, Outcome, Part
from flight.integrity.ladder import Ladder
from flight.integrity.map import TensorMap
from flight.integrity.pages import Pages
from flight.integrity.parity import Parity
from models.manifest import Tensor

PAGE = 256
COUNT = 150
SIZE = PAGE * COUNT - 100
STRIPES = 3
"""The image of most tests: its page, pages, bytes (the last page is short) and stripes."""


@dataclass
class Protected:
    """`image` is what may be damaged, `original` what it must become again, `flash` what a re-read gives."""

    original: bytes
    pages: Pages
    codes: Codes
    parity: Parity
    image: bytearray = field(default_factory=bytearray)
    flash: bytearray = field(default_factory=bytearray)
    flash_errors: bool = False
    reads: int = 0

    def reread(self, offset: int, length: int) -> bytes:
        self.reads += 1
        if self.flash_errors:
            raise OSError(5, "Input/output error")
        return bytes(self.flash[offset : offset + length])

    def ladder(self, kind: type[Ladder] = Ladder) -> Ladder:
        tensor = Tensor(name="blk.0.ffn_up.weight", type="Q8_0", offset=0, bytes=len(self.original))
        return kind(memoryview(self.image), self.codes, self.parity, self.reread, TensorMap([tensor]))

    def flip(self, bit: int) -> None:
        self.image[bit // 8] ^= 1 << bit % 8

    def page(self, page: int) -> bytes:
        start, end = self.pages.span(page)
        return bytes(self.image[start:end])

    def wrong_pages(self) -> set[int]:
        """The pages of the image that differ from the original."""
        return {
            page for page in range(self.pages.count) if self.page(page) != self.original[slice(*self.pages.span(page))]
        }


def protect(size: int, page_bytes: int, seed: int = 1) -> Protected:
    """An image of `size` random bytes in pages of `page_bytes`."""
    original = random.Random(seed).randbytes(size)
    pages = Pages(size, page_bytes)
    parity = Parity(pages)
    parity.fold(0, original)
    image = [Code.of(original[slice(*pages.span(page))]) for page in range(pages.count)]
    stripes = [Code.of(parity.view[slice(*pages.parity.span(stripe))]) for stripe in range(pages.stripes)]
    codes = Codes(hashlib.sha256(original).digest(), Table.of(pages, image), Table.of(pages.parity, stripes))
    return Protected(original, pages, codes, parity, bytearray(original), bytearray(original))


def outcomes(findings: list[Finding]) -> list[tuple[Part, int, Outcome]]:
    """What was found, without its particulars."""
    return [(finding.part, finding.number, finding.outcome) for finding in findings]


def flip(path: Path, offset: int, mask: int = 1) -> None:
    """Flip bits of one byte of a file in place, as radiation would: the inode stays."""
    with path.open("r+b") as file:
        file.seek(offset)
        found = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([found ^ mask]))
