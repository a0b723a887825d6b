"""CRC-16/CCITT-FALSE through crcmod."""

from __future__ import annotations

import binascii
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacelink import crc


def test_the_check_value_is_that_of_the_catalogue() -> None:
    """CRC-16/CCITT-FALSE (also IBM-3740) of "123456789"."""
    assert crc.frame_crc(b"123456789") == 0x29B1


def test_the_vectors_of_the_standard_hold() -> None:
    """ECSS-E-ST-70-41C annex B verifies an encoder with these."""
    vectors = {"0000": 0x1D0F, "000000": 0xCC9C, "ABCDEF01": 0x04A2, "1456F89A0001": 0x7FD5}
    assert {text: crc.frame_crc(bytes.fromhex(text)) for text in vectors} == vectors


@given(st.binary(max_size=300))
def test_it_agrees_with_the_standard_library_and_makes_the_whole_zero(data: bytes) -> None:
    """`binascii.crc_hqx` is another implementation; data with its CRC has CRC 0."""
    value = crc.frame_crc(data)
    assert value == binascii.crc_hqx(data, 0xFFFF)
    assert crc.frame_crc(data + value.to_bytes(2, "big")) == 0


def test_the_c_extension_is_loaded() -> None:
    """Without it every frame costs 35 times more; crcmod-plus ships it in its wheels."""
    assert crc.extension_loaded()


def test_a_missing_extension_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag is that of crcmod's inner module, where the silent fall-back shows."""
    monkeypatch.setattr(sys.modules["crcmod.crcmod"], "_usingExtension", False)
    assert not crc.extension_loaded()
    monkeypatch.delitem(sys.modules, "crcmod.crcmod")
    assert not crc.extension_loaded()
