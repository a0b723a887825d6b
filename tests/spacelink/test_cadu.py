"""Channel Access Data Units."""

from __future__ import annotations

import random

from spacelink.cadu import ASM, CADU_BYTES, Cadu, decode_cadus, encode_cadus
from spacelink.randomizer import sequence
from spacelink.rejection import Rejection

FRAMES = [random.Random(index).randbytes(1115) for index in range(4)]


def xored(data: bytes, place: int, mask: bytes) -> bytes:
    """Data with `mask` XORed on from `place`."""
    wrong = bytearray(data)
    for index, value in enumerate(mask):
        wrong[place + index] ^= value
    return bytes(wrong)


def test_a_cadu_is_the_marker_and_a_randomized_codeblock() -> None:
    """The marker is not randomized, the frame stands first in the codeblock."""
    for frame, cadu in zip(FRAMES, encode_cadus(FRAMES), strict=True):
        assert len(cadu) == CADU_BYTES == 1279
        assert cadu[:4] == ASM == bytes.fromhex("1ACFFC1D")
        assert xored(cadu, 4, sequence(1115).tobytes())[4 : 4 + 1115] == frame


def test_frames_come_back_in_order_with_their_corrections() -> None:
    """One result for each datagram: clean, corrected, and each kind of rejected, in one batch."""
    a, b, c, d = encode_cadus(FRAMES)
    results = decode_cadus(
        [a, xored(b, 100, b"\x01\x80"), xored(c, 4, b"\xff" * 100), xored(d, 0, b"\x0f"), b"", a + b"\0"]
    )
    assert results == [
        Cadu(FRAMES[0], 0, None),
        Cadu(FRAMES[1], 2, None),
        Cadu(b"", 0, Rejection.RS_UNCORRECTABLE),
        Cadu(b"", 0, Rejection.NO_ASM),
        Cadu(b"", 0, Rejection.CADU_LENGTH),
        Cadu(b"", 0, Rejection.CADU_LENGTH),
    ]


def test_three_wrong_bits_in_the_marker_are_borne() -> None:
    """The codeblock decides."""
    (cadu,) = encode_cadus(FRAMES[:1])
    assert decode_cadus([xored(cadu, 1, b"\x07")]) == [Cadu(FRAMES[0], 0, None)]


def test_no_frames_no_cadus() -> None:
    """Both ways."""
    assert encode_cadus([]) == []
    assert decode_cadus([]) == []
