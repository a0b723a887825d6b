"""The table of page codes: CRC-32C and XXH3-64 of every page of an image and of its parity, kept twice.

One copy is a header and blocks; a block is the codes of 64 pages, its own number and its own CRC-32C (776 bytes), so
that damage to both copies in different places still leaves every block whole once. All little-endian.

    header  magic "OLPAGES1", u32 page bytes, u32 stripe, u64 image bytes, SHA-256 of the image, u32 0, u32 CRC-32C
    block   u32[64] CRC-32C, u64[64] XXH3-64, u32 number, u32 CRC-32C of the 772 bytes before
    copy    header, blocks of the image's pages, blocks of the parity pages;   file = copy, copy

The codes are always made from the file on flash (`flight.integrity.derivation`), never from the memory they guard.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from flight.integrity.crc import crc32c
from flight.integrity.errors import CodesRefused
from flight.integrity.flash import Flash
from flight.integrity.pages import Pages
from flight.store.files import write_whole
from models.manifest import STRIPE, Manifest

PER_BLOCK: Final = 64
BLOCK: Final = np.dtype(
    [("crc", "<u4", (PER_BLOCK,)), ("hash", "<u8", (PER_BLOCK,)), ("number", "<u4"), ("check", "<u4")]
)
_HEADER: Final = struct.Struct("<8sIIQ32sI")
_MAGIC: Final = b"OLPAGES1"
Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Code:
    """What a page must be."""

    crc: int
    hash: int

    @classmethod
    def of(cls, data: Buffer) -> Code:
        """The code of `data`."""
        return cls(crc32c(data), xxh3_64_intdigest(data))

    def proves(self, data: Buffer) -> bool:
        """Whether `data` is the page: both sums must agree before a byte counts as right."""
        return crc32c(data) == self.crc and xxh3_64_intdigest(data) == self.hash


class Table:
    """The codes of the pages of one image. `copies` is BLOCK[2, blocks], open to damage and to repair."""

    def __init__(self, pages: Pages, copies: NDArray[np.void]) -> None:
        """Take what `of` made or a file held; nothing is trusted before its block's CRC agrees."""
        self.pages = pages
        self.copies = copies
        self._bytes = [memoryview(copy.view(np.uint8)) for copy in copies]

    @classmethod
    def of(cls, pages: Pages, codes: list[Code]) -> Table:
        """The table of `codes`, one for each page."""
        if len(codes) != pages.count:
            raise ValueError(f"expected {pages.count} codes, found {len(codes)}")
        blocks = np.zeros(blocks_for(pages), BLOCK)
        filled = np.zeros((2, blocks.size * PER_BLOCK), np.uint64)
        filled[:, : pages.count] = np.array([(code.crc, code.hash) for code in codes], np.uint64).T
        blocks["crc"] = filled[0].reshape(-1, PER_BLOCK)
        blocks["hash"] = filled[1].reshape(-1, PER_BLOCK)
        blocks["number"] = np.arange(blocks.size)
        for number in range(blocks.size):
            blocks["check"][number] = crc32c(blocks[number].tobytes()[:-4])
        return cls(pages, np.stack([blocks, blocks]))

    @property
    def blocks(self) -> int:
        """Number of blocks in one copy."""
        return int(self.copies.shape[1])

    def whole(self, copy: int, block: int) -> bool:
        """Whether a block of a copy is what was written: its own CRC and number say so."""
        data = self._bytes[copy][block * BLOCK.itemsize : (block + 1) * BLOCK.itemsize]
        found, check = struct.unpack_from("<II", data, BLOCK.itemsize - 8)
        return bool(found == block and crc32c(data[:-4]) == check)

    def mend(self, block: int) -> bool | None:
        """Make both copies of `block` agree. False: they did; True: one was restored; None: both are lost."""
        good = [self.whole(copy, block) for copy in (0, 1)]
        if all(good):
            return False if self.copies[0, block] == self.copies[1, block] else None
        if not any(good):
            return None
        right = good.index(True)
        self.copies[1 - right, block] = self.copies[right, block]
        return True if self.whole(1 - right, block) else None

    def code(self, page: int) -> Code | None:
        """The code of `page` from a whole copy of its block; None when both copies are lost."""
        block, place = divmod(page, PER_BLOCK)
        entry = self._entry(block)
        return None if entry is None else Code(int(entry["crc"][place]), int(entry["hash"][place]))

    def page_crcs(self, block: int) -> NDArray[np.uint32] | None:
        """The CRCs of the pages of `block` (uint32, at most 64) from a whole copy, or None."""
        entry = self._entry(block)
        return None if entry is None else entry["crc"][: len(self.pages_of(block))].astype(np.uint32)

    def page_hashes(self, block: int) -> list[int] | None:
        """The XXH3-64 of the pages of `block` (at most 64) from a whole copy, or None."""
        entry = self._entry(block)
        return None if entry is None else entry["hash"][: len(self.pages_of(block))].tolist()

    def pages_of(self, block: int) -> range:
        """The pages whose codes are in `block`."""
        return range(block * PER_BLOCK, min((block + 1) * PER_BLOCK, self.pages.count))

    def _entry(self, block: int) -> Any:
        """A whole copy of `block` (BLOCK), or None."""
        whole = next((copy for copy in (0, 1) if self.whole(copy, block)), None)
        return None if whole is None else self.copies[whole, block]


@dataclass(frozen=True)
class Codes:
    """The tables of an image and of its parity, and the SHA-256 (32 bytes) of the model they belong to.

    `restored`: blocks that came from their second copy when the table was read; parity's count after the image's.
    """

    sha256: bytes
    image: Table
    parity: Table
    restored: tuple[int, ...] = ()

    @property
    def pages(self) -> Pages:
        """The pages of the image."""
        return self.image.pages

    @property
    def nbytes(self) -> int:
        """Bytes of memory that both copies take."""
        return int(self.image.copies.nbytes + self.parity.copies.nbytes)

    def dump(self) -> bytes:
        """The file of the table: two copies. Damaged blocks are mended first; raises `CodesRefused` if one is lost."""
        self.mend()
        return self._copy() * 2

    def mend(self) -> tuple[int, ...]:
        """Make both copies agree; the blocks of which one was restored. Raises `CodesRefused` if one is lost."""
        restored = []
        for block, mended in self.mending():
            if mended is None:
                raise CodesRefused(f"Both copies of block {block} of the page codes are damaged: read them again.")
            if mended:
                restored.append(block)
        return tuple(restored)

    def mending(self) -> Iterator[tuple[int, bool | None]]:
        """`Table.mend` of every block, with its number; those of parity count after the image's."""
        before = 0
        for table in (self.image, self.parity):
            for block in range(table.blocks):
                yield before + block, table.mend(block)
            before += table.blocks

    def reference(self) -> str:
        """SHA-256 (hex) of one copy, as the manifest keeps it."""
        return hashlib.sha256(self._copy()).hexdigest()

    def _copy(self) -> bytes:
        pages = self.pages
        header = _HEADER.pack(_MAGIC, pages.page_bytes, STRIPE, pages.bytes, self.sha256, 0)
        header += struct.pack("<I", crc32c(header))
        return b"".join((header, self.image.copies[0].tobytes(), self.parity.copies[0].tobytes()))


def blocks_for(pages: Pages) -> int:
    """Number of blocks for the codes of `pages`."""
    return -(-pages.count // PER_BLOCK)


def save(codes: Codes, path: Path) -> None:
    """Write the table to `path`, whole or not at all."""
    try:
        write_whole(path, codes.dump())
    except OSError as error:
        raise CodesRefused(f"The page codes {path} cannot be written: {error.strerror}.") from error


def load(path: Path, manifest: Manifest) -> Codes:
    """The table at `path`, mended from its two copies and proven to be the one of `manifest`, or `CodesRefused`."""
    try:
        with Flash(path) as flash:  # past the page cache: a cached page is memory, too
            data = flash.read(0, path.stat().st_size)
    except OSError as error:
        raise CodesRefused(f"The page codes {path} cannot be read: {error.strerror}.") from error
    codes = parse(data, str(path))
    if codes.sha256.hex() != manifest.sha256 or codes.pages != Pages.of(manifest.bytes):
        raise CodesRefused(f"The page codes {path} belong to another model than {manifest.file}: make them again.")
    expected = manifest.pages.codes
    codes = dataclasses.replace(codes, restored=codes.mend())
    if expected is not None and codes.reference() != expected.sha256:
        raise CodesRefused(f"The page codes {path} are not those of the manifest of {manifest.file}: make them again.")
    return codes


def parse(data: bytes, name: str = "the table") -> Codes:
    """The table in `data`; one whole header of the two is enough, and blocks are judged when they are used."""
    half, odd = divmod(len(data), 2)
    for start in (0, half):
        header = data[start : start + _HEADER.size + 4]
        if odd or len(header) < _HEADER.size + 4 or crc32c(header[:-4]) != int.from_bytes(header[-4:], "little"):
            continue
        magic, page_bytes, stripe, size, sha256, _ = _HEADER.unpack_from(header)
        if magic != _MAGIC or stripe != STRIPE:
            continue
        pages = Pages(size, page_bytes)
        image, parity = blocks_for(pages), blocks_for(pages.parity)
        if half != _HEADER.size + 4 + (image + parity) * BLOCK.itemsize:
            break
        copies = np.stack(
            [np.frombuffer(data, BLOCK, image + parity, offset + _HEADER.size + 4) for offset in (0, half)]
        )
        return Codes(
            sha256,
            Table(pages, np.ascontiguousarray(copies[:, :image])),
            Table(pages.parity, np.ascontiguousarray(copies[:, image:])),
        )
    raise CodesRefused(f"{name} holds no page codes, or both of its headers are damaged: make it again.")
