"""`reedsolo` as witness for Reed-Solomon: the same code, written by others, in the conventional basis.

It knows neither dual basis nor interleaving, which stand here in their own words: 131.0-B annex F as a table of bits,
and byte k of a codeblock belonging to codeword k mod 5.
"""

from __future__ import annotations

import numpy as np
import pytest
import reedsolo

from spacelink import reed_solomon

ALPHA_11 = 0xAD
"""α^11 in the field of 131.0-B §4.3: checked below."""
TO_DUAL = (0x8D, 0xEF, 0xEC, 0x86, 0xFA, 0x99, 0xAF, 0x7B)
"""Annex F: what each bit of a conventional byte, α^7 first, adds to the dual-basis byte."""

DUAL = bytes(
    int(np.bitwise_xor.reduce([0, *(row for bit, row in enumerate(TO_DUAL) if value >> (7 - bit) & 1)]))
    for value in range(256)
)
CONVENTIONAL = bytes(DUAL.index(value) for value in range(256))


@pytest.fixture(scope="module")
def codec() -> reedsolo.RSCodec:
    """(255,223) with roots α^(11·112) … α^(11·143)."""
    return reedsolo.RSCodec(32, nsize=255, fcr=112, prim=0x187, generator=ALPHA_11)


def codewords(block: bytes, symbols: int) -> list[bytes]:
    """The five codewords of a codeblock, or their information, in the conventional basis."""
    return [block[word::5][:symbols].translate(CONVENTIONAL) for word in range(5)]


def test_the_generator_element_is_the_eleventh_power() -> None:
    """By eleven multiplications with x."""
    value = 1
    for _ in range(11):
        value <<= 1
        if value & 0x100:
            value ^= 0x187
    assert value == ALPHA_11


def test_our_codewords_are_those_of_reedsolo(codec: reedsolo.RSCodec) -> None:
    """All symbols of 40 codewords."""
    frames = np.random.default_rng(1).integers(0, 256, (8, 1115), np.uint8)
    for frame, block in zip(frames, reed_solomon.encode(frames), strict=True):
        for information, word in zip(codewords(frame.tobytes(), 223), codewords(block.tobytes(), 255), strict=True):
            assert bytes(codec.encode(information)) == word


def test_what_reedsolo_encodes_and_the_link_damages_we_decode(codec: reedsolo.RSCodec) -> None:
    """16 wrong symbols in each codeword."""
    rng = np.random.default_rng(2)
    frame = rng.integers(0, 256, 1115, np.uint8)
    block = np.empty(1275, np.uint8)
    for word, information in enumerate(codewords(frame.tobytes(), 223)):
        block[word::5] = np.frombuffer(bytes(codec.encode(information)).translate(DUAL), np.uint8)
        block[rng.choice(255, 16, replace=False) * 5 + word] ^= rng.integers(1, 256, 16, np.uint8)
    decoded = reed_solomon.decode(block[None])
    assert decoded.ok[0]
    assert decoded.data[0].tobytes() == frame.tobytes()
    assert decoded.corrected[0] == 80


@pytest.mark.parametrize("errors", [1, 16, 17])
def test_reedsolo_and_we_agree_on_what_can_be_corrected(codec: reedsolo.RSCodec, errors: int) -> None:
    """Up to 16 both correct to the same codeword, with 17 both give up."""
    rng = np.random.default_rng(errors)
    frame = rng.integers(0, 256, (1, 1115), np.uint8)
    block = reed_solomon.encode(frame)
    block[0, rng.choice(255, errors, replace=False) * 5] ^= 0x5A
    ours = reed_solomon.decode(block)
    received = codewords(block.tobytes(), 255)[0]
    if errors <= 16:
        assert bytes(codec.decode(received)[0]) == codewords(frame.tobytes(), 223)[0]
        assert ours.ok[0]
        assert (ours.data == frame).all()
    else:
        with pytest.raises(reedsolo.ReedSolomonError):
            codec.decode(received)
        assert not ours.ok[0]
