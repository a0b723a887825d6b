"""One flipped bit, located from the CRC-32C of its page alone.

found ^ expected is the syndrome: it depends on where the bit lies counted from the end of the page, and on nothing
else. All 524,288 of a 64 KiB page are distinct, so a table of them would serve; it would take 4 MiB, more than the
codes of the whole model. A baby-step giant-step search (D. Shanks, 1971) needs 44 KiB and some tens of microseconds:
the syndrome is advanced by 1 to 256 zero bytes, and each result is looked up among those of the bits that lie a
multiple of 256 bytes before the end.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flight.integrity.crc import advance, apply, single_bits

LONGEST: Final = 64 << 10
"""The longest page, in bytes, whose bits can be located."""
_STEP: Final = 256


class Locator:
    """Finds single flipped bits in pages of at most 64 KiB."""

    def __init__(self) -> None:
        """Build the tables, by doubling."""
        babies = _advanced(advance(1)[None], 1, _STEP)
        self._babies = np.ascontiguousarray(babies.T)  # [bit of the syndrome, zero bytes - 1]
        first = apply(advance(_STEP), single_bits())
        table = _advanced(first, _STEP, LONGEST // _STEP)  # entry 8 * (g - 1) + bit: that bit, 256 * g bytes before
        self._order = np.argsort(table).astype(np.uint16)
        self._sorted = table[self._order]

    def locate(self, syndrome: int, length: int) -> int | None:
        """The only bit (8 * byte + bit, 0 = least significant) whose flip explains `syndrome` in `length` bytes.

        None: more than one bit, or none, was flipped. A pattern of three or more flips can look like one bit
        (2.5e-4 of triples in 64 KiB), so the answer is a proposal that a second hash has to confirm.
        """
        bits = np.flatnonzero(syndrome >> np.arange(32) & 1)
        if not bits.size:
            return None
        ahead = np.bitwise_xor.reduce(self._babies[bits], axis=0)
        places = np.minimum(np.searchsorted(self._sorted, ahead), self._sorted.size - 1)
        hits = np.flatnonzero(self._sorted[places] == ahead)
        for hit in hits:
            entry = int(self._order[places[hit]])
            after = _STEP * (entry // 8 + 1) - (int(hit) + 1)  # bytes between the bit's byte and the end
            if after < length:
                return 8 * (length - 1 - after) + entry % 8
        return None


def _advanced(first: NDArray[np.uint32], step: int, count: int) -> NDArray[np.uint32]:
    """`first`, and `first` advanced by 1 to `count` - 1 times `step` zero bytes, joined; `count` is a power of two."""
    rows, have = first, 1
    while have < count:
        rows = np.concatenate([rows, apply(advance(have * step), rows)])
        have *= 2
    return rows
