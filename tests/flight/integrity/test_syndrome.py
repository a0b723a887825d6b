"""One flipped bit is located from the checksum alone; more than one is never taken for none."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.integrity.crc import advance, apply, crc32c, single_bits
from flight.integrity.syndrome import Locator

LOCATOR = Locator()


@pytest.fixture(scope="module")
def page_table() -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """The syndromes of a 4 KiB page."""
    return all_syndromes(4096)


def all_syndromes(length: int) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """The syndromes of every bit of `length` bytes: entry 8 * (bytes after it) + bit. Made by doubling."""
    table = single_bits()
    while table.size < 8 * length:
        table = np.concatenate([table, apply(advance(table.size // 8), table)])
    return table


def test_all_syndromes_of_a_64_kib_page_are_distinct_and_none_is_zero() -> None:
    """524,288 of them: that is why CRC-32C can correct one bit."""
    table = all_syndromes(64 << 10)
    assert table.size == 524_288
    assert np.unique(table).size == table.size
    assert table.all()


def test_no_two_flips_look_like_one_or_none() -> None:
    """CRC-32C has distance 4 at this length: a double flip is always noticed as one (SEC-DED). One million of them."""
    table = all_syndromes(64 << 10)
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, table.size, (2, 1_000_000))
    doubles = (table[first] ^ table[second])[first != second]
    assert not np.isin(doubles, table).any()
    assert doubles.all()


@given(st.sampled_from([65536, 4096, 4095, 257, 256, 255, 1]), st.integers(0, 2**19 - 1), st.integers(0, 99))
def test_any_one_flipped_bit_is_located(length: int, place: int, seed: int) -> None:
    bit = place % (8 * length)
    page = bytearray(random.Random(seed).randbytes(length))
    expected = crc32c(page)
    page[bit // 8] ^= 1 << bit % 8
    assert LOCATOR.locate(crc32c(page) ^ expected, length) == bit


def test_the_search_agrees_with_the_whole_table() -> None:
    """At every byte's place, first and last bit."""
    table = all_syndromes(64 << 10)
    length = 64 << 10
    for after in (*range(1024), *range(1024, length, 251), length - 2, length - 1):
        for bit in (0, 7):
            assert LOCATOR.locate(int(table[8 * after + bit]), length) == 8 * (length - 1 - after) + bit


@given(syndrome=st.integers(1, 2**32 - 1))
def test_a_syndrome_that_is_no_bit_of_the_page_is_none(
    page_table: np.ndarray[tuple[int], np.dtype[np.uint32]], syndrome: int
) -> None:
    """And one that is, is found: the table is the judge."""
    places = np.flatnonzero(page_table == syndrome)
    expected = None if not places.size else 8 * (4095 - int(places[0]) // 8) + int(places[0]) % 8
    assert LOCATOR.locate(syndrome, 4096) == expected


@pytest.mark.parametrize("length", [1, 4096, 65536])
def test_no_difference_is_no_bit(length: int) -> None:
    assert LOCATOR.locate(0, length) is None


def test_a_bit_beyond_a_short_page_is_not_proposed() -> None:
    """The syndrome of byte 100 from the end means nothing in a page of 100 bytes."""
    table = all_syndromes(256)
    assert LOCATOR.locate(int(table[8 * 100]), 101) == 0
    assert LOCATOR.locate(int(table[8 * 100]), 100) is None
