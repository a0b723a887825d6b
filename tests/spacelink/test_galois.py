"""Arithmetic of the Reed-Solomon field."""

from __future__ import annotations

import numpy as np

from spacelink import galois


def multiplied(a: int, b: int) -> int:
    """Product in GF(2^8) by shift and add, modulo x^8 + x^7 + x^2 + x + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x187
        b >>= 1
    return product


def test_the_table_of_products_is_that_of_shift_and_add() -> None:
    """All 65,536 of them."""
    expected = np.array([[multiplied(a, b) for b in range(256)] for a in range(256)], np.uint8)
    assert (galois.products() == expected).all()


def test_inverses_multiply_to_one() -> None:
    """All but that of zero."""
    values = np.arange(1, 256)
    assert (galois.products()[values, galois.inverses()[values]] == 1).all()


def test_the_dual_basis_is_that_of_the_standard() -> None:
    """Rows of the table in 131.0-B annex F, as Phil Karn's Taltab prints them: conventional 0, 1, 2 … and 16 …"""
    table = galois.to_dual()
    assert table[:16].tobytes().hex() == "007bafd499e2364dfa81552e6318ccb7"
    assert table[16:32].tobytes().hex() == "86fd29521f64b0cb7c07d3a8e59e4a31"
    assert (galois.to_conventional()[table] == np.arange(256)).all()


def test_the_dual_basis_is_linear() -> None:
    """A change of basis over GF(2)."""
    table = galois.to_dual()
    values = np.arange(256)
    assert (table[values[:, None] ^ values[None, :]] == table[:, None] ^ table[None, :]).all()
