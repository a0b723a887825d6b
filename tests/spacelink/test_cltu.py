"""Communications Link Transmission Units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacelink.cltu import TAIL, Cltu, cltu_length, decode_cltu, encode_cltu
from spacelink.rejection import Rejection

FRAME = bytes.fromhex("22F60023008200 0F001DFF000000000F 001EFF000000000F 001FFF000000000F AC8F0068".replace(" ", ""))
"""A TC frame and the CLTU that SpacePyLibrary and Yamcs make of it."""
CLTU = bytes.fromhex(
    "EB90 22F6002300820024 0F001DFF00000034 000F001EFF000010 00000F001FFF00D8 0000000FAC8F0090 6855555555555506"
    "C5C5C5C5C5C5C579".replace(" ", "")
)


def flipped(data: bytes, *bits: int) -> bytes:
    """Data with these bits turned over."""
    wrong = bytearray(data)
    for bit in bits:
        wrong[bit // 8] ^= 0x80 >> bit % 8
    return bytes(wrong)


def test_the_published_example_is_made() -> None:
    """Start, codeblocks, fill 0x55 and tail, byte for byte."""
    assert encode_cltu(FRAME) == CLTU


def test_the_published_example_is_read() -> None:
    """The frame comes with its fill, which only the frame's length field can tell apart."""
    assert decode_cltu(CLTU) == Cltu(FRAME + b"\x55" * 6, corrected=0, complete=True)


@given(st.binary(min_size=1, max_size=1024))
def test_a_frame_comes_back_with_less_than_a_codeblock_of_fill(frame: bytes) -> None:
    """Whatever its length; and the length on the link is known beforehand."""
    cltu = encode_cltu(frame)
    assert len(cltu) == cltu_length(len(frame))
    decoded = decode_cltu(cltu)
    assert isinstance(decoded, Cltu)
    assert decoded.frame == frame + b"\x55" * (-len(frame) % 7)
    assert decoded.complete


@pytest.mark.parametrize("bit", range(16))
def test_one_wrong_bit_in_the_start_sequence_is_borne(bit: int) -> None:
    """Each of its 16 bits."""
    assert isinstance(decode_cltu(flipped(CLTU, bit)), Cltu)


def test_two_wrong_bits_in_the_start_sequence_are_not() -> None:
    """Then there is no start."""
    assert decode_cltu(flipped(CLTU, 0, 9)) is Rejection.NO_START


def test_one_wrong_bit_in_each_codeblock_is_undone() -> None:
    """And counted."""
    decoded = decode_cltu(flipped(CLTU, *(16 + 64 * block + 7 * block for block in range(6))))
    assert decoded == Cltu(FRAME + b"\x55" * 6, corrected=6, complete=True)


def test_decoding_stops_at_the_first_codeblock_beyond_repair() -> None:
    """What came before it is handed on; what comes after it is not looked at."""
    decoded = decode_cltu(flipped(CLTU, 16 + 2 * 64, 16 + 2 * 64 + 1))
    assert decoded == Cltu(FRAME[:14], corrected=0, complete=False)


def test_a_first_codeblock_beyond_repair_leaves_nothing() -> None:
    """No frame, but a reason."""
    assert decode_cltu(flipped(CLTU, 20, 21)) is Rejection.BCH_UNCORRECTABLE


def test_a_damaged_tail_still_ends_the_cltu() -> None:
    """No wrong bits in the tail may cost the frame before it: one, two, or the whole tail missing."""
    for damaged in (*(flipped(CLTU, len(CLTU) * 8 - 64 + bit) for bit in range(64)), CLTU[:-8], CLTU[:-3]):
        decoded = decode_cltu(damaged)
        assert isinstance(decoded, Cltu)
        assert decoded.frame.startswith(FRAME)


def test_the_tail_is_no_codeblock() -> None:
    """It is made so that a decoder that corrects single errors never takes it for one."""
    decoded = decode_cltu(CLTU[:10] + TAIL + CLTU[10:])
    assert decoded == Cltu(FRAME[:7], corrected=0, complete=True)


def test_what_stands_before_the_start_is_passed_over() -> None:
    """An acquisition sequence of 0x55, as PLOP-2 has it."""
    assert decode_cltu(b"\x55" * 16 + CLTU) == decode_cltu(CLTU)


@pytest.mark.parametrize("data", [b"", b"\xeb", b"\xeb\x90", b"\xeb\x90" + bytes(7)])
def test_too_little_is_a_reason(data: bytes) -> None:
    """Never an exception."""
    assert isinstance(decode_cltu(data), Rejection)
