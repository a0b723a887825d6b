"""How an image is cut into pages and stripes (DESIGN §4). Pure geometry: no byte is touched here."""

from __future__ import annotations

from dataclasses import dataclass

from models.manifest import STRIPE, page_bytes


@dataclass(frozen=True)
class Pages:
    """`bytes` of an image in pages of `page_bytes`; only the last page may be shorter.

    Page i belongs to stripe i mod `stripes`, so a stripe holds at most 64 pages and neighbours never share one: a
    burst over as many pages as there are stripes damages each stripe once.
    """

    bytes: int
    page_bytes: int

    def __post_init__(self) -> None:
        """Refuse what is no image."""
        if self.bytes <= 0 or self.page_bytes <= 0 or self.page_bytes % 8:
            raise ValueError(f"an image of {self.bytes} bytes cannot be cut into pages of {self.page_bytes}")

    @classmethod
    def of(cls, size: int) -> Pages:
        """The pages of a model file of `size` bytes: 64 KiB, or 4 KiB under 64 MiB."""
        return cls(size, page_bytes(size))

    @property
    def count(self) -> int:
        """Number of pages."""
        return -(-self.bytes // self.page_bytes)

    @property
    def stripes(self) -> int:
        """Number of stripes, and of parity pages: at least two where there are two pages."""
        return max(-(-self.count // STRIPE), min(2, self.count))

    @property
    def parity(self) -> Pages:
        """The parity pages as an image of their own, all of full length."""
        return Pages(self.stripes * self.page_bytes, self.page_bytes)

    def span(self, page: int) -> tuple[int, int]:
        """First byte of `page`, and the byte after its last."""
        if not 0 <= page < self.count:
            raise IndexError(f"page {page} of {self.count}")
        start = page * self.page_bytes
        return start, min(start + self.page_bytes, self.bytes)

    def page_at(self, offset: int) -> int:
        """The page that holds byte `offset`."""
        if not 0 <= offset < self.bytes:
            raise IndexError(f"byte {offset} of {self.bytes}")
        return offset // self.page_bytes

    def stripe_of(self, page: int) -> int:
        """The stripe (and parity page) of `page`."""
        return page % self.stripes

    def members(self, stripe: int) -> range:
        """The pages of `stripe`."""
        return range(stripe, self.count, self.stripes)
