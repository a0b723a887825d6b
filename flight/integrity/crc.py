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


@functools.cache
def _bytewise(count: int) -> NDArray[np.uint32]:
    """`advance(count)` as uint32[4, 256]: the images of each byte of the register."""
    table = np.zeros((4, 256), np.uint32)
    for place, images in enumerate(advance(count).reshape(4, 8)):
        for bit, image in enumerate(images):
            table[place, 1 << bit : 2 << bit] = table[place, : 1 << bit] ^ image
    return table


def chain(crcs: NDArray[np.uint32], length: int, last: int | None = None) -> NDArray[np.uint32]:
    """The CRCs of rows of joined pieces: `crcs` is uint32[rows, pieces] of pieces of `length` bytes.

    `last`: length of the last piece of every row where that is another.
    """
    table = _bytewise(length)
    joined = crcs[:, 0].copy()
    for piece in range(1, crcs.shape[1]):
        if last is not None and piece == crcs.shape[1] - 1:
            table = _bytewise(last)
        low, mid, high, top = (joined >> np.uint32(shift) & np.uint32(255) for shift in (0, 8, 16, 24))
        joined = table[0, low] ^ table[1, mid] ^ table[2, high] ^ table[3, top] ^ crcs[:, piece]
    return joined
