"""CRC-32C and its algebra: a CRC is linear over GF(2), so zeros can be appended to it and CRCs joined without data.

The polynomial is that of RFC 3720 §12.1 (Castagnoli), reflected; check value 0xE3069283 over b"123456789". A linear
map of the 32-bit register is a uint32[32] array: entry k is the image of bit k.
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

__all__ = ["Matrix", "advance", "apply", "chain", "crc32c", "single_bits"]

POLYNOMIAL: Final = 0x82F63B78

Matrix = NDArray[np.uint32]


def _shift_bit(value: int) -> int:
    return value >> 1 ^ (POLYNOMIAL if value & 1 else 0)


def _shift_byte(value: int) -> int:
    for _ in range(8):
        value = _shift_bit(value)
    return value


def single_bits() -> NDArray[np.uint32]:
    """The eight differences that one flipped bit of the last byte makes in a CRC, by bit (0 = least significant)."""
    return np.array([_shift_byte(1 << bit) for bit in range(8)], np.uint32)


def apply(matrix: NDArray[np.uint32], values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The image of every value under one map; shape as `values`."""
    result = np.zeros_like(values)
    for bit in range(32):
        result ^= matrix[bit] * (values >> np.uint32(bit) & np.uint32(1))
    return result


@functools.cache
def advance(count: int) -> Matrix:
    """The map that appending `count` zero bytes makes in a difference of CRCs, by repeated squaring."""
    if count == 0:
        result: Matrix = np.uint32(1) << np.arange(32, dtype=np.uint32)
    elif count == 1:
        result = np.array([_shift_byte(1 << bit) for bit in range(32)], np.uint32)
    else:
        half = advance(count // 2)
        result = apply(half, half)  # maps compose by applying one to the other's images
        result = apply(advance(1), result) if count % 2 else result
    result.flags.writeable = False
    return result


def chain(crcs: NDArray[np.uint32], length: int, last: int | None = None) -> NDArray[np.uint32]:
    """The CRCs of rows of joined pieces: `crcs` is uint32[rows, pieces] of pieces of `length` bytes.

    `last`: length of the last piece of every row where that is another.
    """
    step = advance(length)
    joined = crcs[:, 0].copy()
    for piece in range(1, crcs.shape[1]):
        if last is not None and piece == crcs.shape[1] - 1:
            step = advance(last)
        joined = apply(step, joined) ^ crcs[:, piece]
    return joined
