"""BCH(63,56) codeblocks of the telecommand channel (231.0-B-4 §3): 7 information bytes, 7 parity bits, one fill bit.

The generator is g(x) = x^7 + x^6 + x^2 + 1. Parity bits go out inverted; the fill bit is 0. Decoding corrects one wrong
bit of the 63 and rejects two (single error correction mode): g contains the factor x + 1, so that every pair of wrong
bits has a syndrome that no single wrong bit has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

INFORMATION_BYTES = 7
CODEBLOCK_BYTES = 8
_GENERATOR = 0b1100_0101  # x^7 + x^6 + x^2 + 1, 231.0-B-4 §3
_CLEAN, _REJECT = 64, 65


@dataclass(frozen=True)
class Codeblocks:
    """What the decoder made of a run of codeblocks."""

    information: Bytes
    """uint8[n, 7], corrected."""
    corrected: npt.NDArray[np.bool_]
    """bool[n]: one wrong bit was undone."""
    ok: npt.NDArray[np.bool_]
    """bool[n]: False where two or more bits are wrong."""


def encode(information: Bytes) -> Bytes:
    """Codeblocks uint8[n, 8] of information bytes uint8[n, 7]."""
    parity_of, _ = _tables()
    blocks = np.empty((len(information), CODEBLOCK_BYTES), np.uint8)
    blocks[:, :INFORMATION_BYTES] = information
    blocks[:, INFORMATION_BYTES] = _parity(information, parity_of) ^ 0xFE
    return blocks


def decode(codeblocks: Bytes) -> Codeblocks:
    """Correct one bit in each of the codeblocks uint8[n, 8]; the fill bit is not looked at."""
    parity_of, position_of = _tables()
    information = codeblocks[:, :INFORMATION_BYTES].copy()
    syndrome = (_parity(information, parity_of) ^ codeblocks[:, INFORMATION_BYTES] ^ 0xFE) >> 1
    position = position_of[syndrome]
    wrong = np.flatnonzero(position < INFORMATION_BYTES * 8)
    information[wrong, position[wrong] >> 3] ^= (0x80 >> (position[wrong] & 7)).astype(np.uint8)
    return Codeblocks(information, position < _CLEAN, position != _REJECT)


def _parity(information: Bytes, parity_of: Bytes) -> Bytes:
    """Parity bits before inversion in bits 7..1 of uint8[n]."""
    parity: Bytes = np.bitwise_xor.reduce(parity_of[np.arange(INFORMATION_BYTES), information], axis=1)
    return parity


@cache
def _tables() -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Parity of each byte value at each position, uint8[7, 256]; the wrong bit behind each syndrome, int[128]."""
    # remainder[p]: x^(62-p) mod g, for transmission position p = 0..62 (bit 0 goes first).
    remainder = np.zeros(63, np.uint8)
    value = 1
    for position in range(62, -1, -1):
        remainder[position] = value
        value <<= 1
        if value & 0x80:
            value ^= _GENERATOR
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    weights = remainder[:56].reshape(INFORMATION_BYTES, 1, 8)
    parity_of = np.bitwise_xor.reduce(bits[None] * weights, axis=2) << 1
    position_of = np.full(128, _REJECT, np.int64)
    position_of[remainder] = np.arange(63)
    position_of[0] = _CLEAN
    return parity_of.astype(np.uint8), position_of
