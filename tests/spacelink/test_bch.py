"""BCH(63,56) codeblocks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacelink import bch

INFORMATION = np.frombuffer(bytes.fromhex("22F600FF00421A"), np.uint8)[None]


def flipped(block: bch.Bytes, *bits: int) -> bch.Bytes:
    """One codeblock uint8[1, 8] with these of its 64 bits turned over."""
    wrong = block.copy()
    for bit in bits:
        wrong[0, bit // 8] ^= 0x80 >> bit % 8
    return wrong


@pytest.mark.parametrize(
    ("information", "parity"),
    [("22F600FF00421A", 0x12), ("8CC00E010D1906", 0x5A), ("301B0009008200", 0x54), ("10E4C155555555", 0x3E)],
)
def test_parity_bytes_are_the_published_ones(information: str, parity: int) -> None:
    """Vectors of Yamcs' BchCltuGeneratorTest."""
    block = bch.encode(np.frombuffer(bytes.fromhex(information), np.uint8)[None])
    assert block[0, :7].tobytes().hex() == information.lower()
    assert block[0, 7] == parity


@given(st.binary(min_size=7, max_size=7))
def test_parity_is_the_remainder_by_the_generator(information: bytes) -> None:
    """Long division by x^7 + x^6 + x^2 + 1, bit by bit, then inverted, then the fill bit 0."""
    rest = int.from_bytes(information, "big") << 7
    for bit in range(62, 6, -1):
        if rest >> bit & 1:
            rest ^= 0b11000101 << (bit - 7)
    block = bch.encode(np.frombuffer(information, np.uint8)[None])
    assert block[0, 7] == (~rest & 0x7F) << 1


def test_every_single_wrong_bit_is_undone() -> None:
    """All 63 places of the code, in information and parity."""
    block = bch.encode(INFORMATION)
    for bit in range(63):
        decoded = bch.decode(flipped(block, bit))
        assert (decoded.ok[0], decoded.corrected[0]) == (True, True)
        assert (decoded.information == INFORMATION).all()


def test_every_pair_of_wrong_bits_is_rejected() -> None:
    """All 1,953 pairs: a pair never passes as a single error."""
    block = bch.encode(INFORMATION)
    blocks = np.concatenate([flipped(block, *pair) for pair in itertools.combinations(range(63), 2)])
    assert not bch.decode(blocks).ok.any()


def test_the_fill_bit_counts_for_nothing() -> None:
    """It is outside of the code."""
    decoded = bch.decode(flipped(bch.encode(INFORMATION), 63))
    assert (decoded.ok[0], decoded.corrected[0]) == (True, False)


def test_many_codeblocks_are_judged_one_by_one() -> None:
    """Clean, correctable and lost beside each other; what is lost comes as it was received."""
    block = bch.encode(INFORMATION)
    decoded = bch.decode(np.concatenate([block, flipped(block, 10), flipped(block, 10, 11)]))
    assert decoded.ok.tolist() == [True, True, False]
    assert decoded.corrected.tolist() == [False, True, False]
    assert (decoded.information[:2] == INFORMATION).all()
    assert decoded.information[2].tobytes() == flipped(block, 10, 11)[0, :7].tobytes()
