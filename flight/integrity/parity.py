"""XOR parity: for each stripe of at most 64 pages one page more, so that any one can be made from the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flight.integrity.pages import Pages


class Parity:
    """The parity pages of an image. A short last page counts as if filled with zeros."""

    def __init__(self, pages: Pages, buffer: memoryview | None = None) -> None:
        """Take parity that is there already (writable, its size that of `pages.parity`), or start as that of zeros."""
        self.pages = pages
        if buffer is not None and buffer.nbytes != pages.parity.bytes:
            raise ValueError(f"expected {pages.parity.bytes} bytes of parity, found {buffer.nbytes}")
        self._buffer = np.zeros(pages.parity.bytes, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8)

    @property
    def view(self) -> memoryview:
        """The parity pages one after the other, writable."""
        return memoryview(self._buffer)  # type: ignore[arg-type,unused-ignore]  # numpy 1.26 to 2 differ here

    def fold(self, offset: int, data: bytes | memoryview) -> None:
        """XOR `data`, the image's bytes from `offset` on, into the parity.

        Page i lies in column i mod stripes of row i div stripes, so a row of pages folds as one long vector.
        """
        row = self._buffer.size
        values = np.frombuffer(data, np.uint8)
        while values.size:
            start = offset % row
            part = values[: row - start]
            self._buffer[start : start + part.size] ^= part
            values, offset = values[part.size :], offset + part.size

    def rebuild(self, image: memoryview, page: int) -> bytes:
        """`page` as the XOR of its parity page and the other pages of its stripe in `image`; not yet proven."""
        start, end = self.pages.parity.span(self.pages.stripe_of(page))
        total = self._buffer[start:end].copy()
        self._xor(total, image, [other for other in self.pages.members(self.pages.stripe_of(page)) if other != page])
        first, last = self.pages.span(page)
        return total[: last - first].tobytes()

    def remake(self, image: memoryview, stripe: int) -> bytes:
        """The parity page of `stripe` as the XOR of the pages of `image`; not yet proven."""
        total = np.zeros(self.pages.page_bytes, np.uint8)
        self._xor(total, image, list(self.pages.members(stripe)))
        return total.tobytes()

    def _xor(self, total: NDArray[np.uint8], image: memoryview, pages: list[int]) -> None:
        values = np.frombuffer(image, np.uint8)
        for page in pages:
            start, end = self.pages.span(page)
            total[: end - start] ^= values[start:end]
