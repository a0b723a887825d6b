"""CRC-32C is linear: zeros can be appended to a checksum, and checksums joined, without the data."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flight.integrity.crc import advance, apply, chain, crc32c, single_bits


def test_the_check_value_of_the_standard() -> None:
    """RFC 3720 appendix B.4 and the usual check over "123456789"."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E


@given(st.binary(max_size=40), st.binary(min_size=1, max_size=40), st.integers(0, 3000))
def test_a_difference_of_checksums_moves_with_appended_zeros(before: bytes, changed: bytes, zeros: int) -> None:
    """Whatever the zeros replace: only what differs counts."""
    other = bytes(byte ^ 0x5A for byte in changed)
    near = crc32c(before + changed) ^ crc32c(before + other)
    far = crc32c(before + changed + bytes(zeros)) ^ crc32c(before + other + bytes(zeros))
    assert int(apply(advance(zeros), np.array([near], np.uint32))[0]) == far


def test_one_flipped_bit_of_the_last_byte_is_one_of_eight_differences() -> None:
    assert single_bits().tolist() == [crc32c(b"x\x80") ^ crc32c(bytes([0x78, 0x80 ^ 1 << bit])) for bit in range(8)]


@given(
    st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=9),
    st.binary(min_size=1, max_size=16),
    st.booleans(),
)
def test_joined_checksums_are_that_of_the_joined_data(pieces: list[bytes], last: bytes, short: bool) -> None:
    if short:
        pieces = [*pieces[:-1], last]
    crcs = np.array([[crc32c(piece) for piece in pieces]] * 2, np.uint32)
    whole = crc32c(b"".join(pieces))
    assert chain(crcs, 16, len(pieces[-1])).tolist() == [whole, whole]
