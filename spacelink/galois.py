"""Arithmetic of GF(2^8) as Reed-Solomon of 131.0-B §4.3 uses it, as lookup tables for numpy.

Field polynomial x^8 + x^7 + x^2 + x + 1. Inside the codec, symbols stand in the conventional basis 1, α, α^2 … ; on the
link they stand in Berlekamp's dual basis (131.0-B annex F).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

FIELD_POLYNOMIAL = 0x187
ORDER = 255
"""Nonzero elements."""

# 131.0-B annex F, T: dual-basis bits z0..z7 (z0 first on the link) = (u7..u0) · T over GF(2), u from α^7 down to 1.
_TO_DUAL = (0x8D, 0xEF, 0xEC, 0x86, 0xFA, 0x99, 0xAF, 0x7B)


@cache
def exponents() -> Bytes:
    """α^k for k = 0..764, uint8[765]: three periods, so that sums of two logarithms need no modulo."""
    powers = np.empty(ORDER, np.uint8)
    value = 1
    for k in range(ORDER):
        powers[k] = value
        value <<= 1
        if value & 0x100:
            value ^= FIELD_POLYNOMIAL
    return np.tile(powers, 3)


@cache
def logarithms() -> npt.NDArray[np.int64]:
    """Logarithm to base α, int[256]; that of zero does not exist and reads 0."""
    logs = np.zeros(256, np.int64)
    logs[exponents()[:ORDER]] = np.arange(ORDER)
    return logs


@cache
def products() -> Bytes:
    """The multiplication table, uint8[256, 256]."""
    logs = logarithms()
    table: Bytes = exponents()[logs[:, None] + logs[None, :]]
    table[0, :] = 0
    table[:, 0] = 0
    return table


@cache
def inverses() -> Bytes:
    """1/a, uint8[256]; 0 for 0, which has none."""
    table = exponents()[(ORDER - logarithms()) % ORDER].copy()
    table[0] = 0
    return table


@cache
def to_dual() -> Bytes:
    """Dual-basis byte of each conventional byte, uint8[256]."""
    values = np.arange(256, dtype=np.uint8)
    table = np.zeros(256, np.uint8)
    for bit, row in enumerate(_TO_DUAL):
        table ^= np.where(values >> (7 - bit) & 1, row, 0).astype(np.uint8)
    return table


@cache
def to_conventional() -> Bytes:
    """Conventional byte of each dual-basis byte, uint8[256]."""
    table = np.empty(256, np.uint8)
    table[to_dual()] = np.arange(256, dtype=np.uint8)
    return table
