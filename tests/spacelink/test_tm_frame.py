"""TM transfer frames."""

from __future__ import annotations

import dataclasses

import pytest

from spacelink.crc import frame_crc
from spacelink.rejection import Rejection
from spacelink.tm_frame import DATA_BYTES, FRAME_BYTES, NO_FIRST_HEADER, ONLY_IDLE, TmFrame

FRAME = TmFrame(0x15A, 1, 200, 17, 42, bytes(i & 0xFF for i in range(DATA_BYTES)), b"\x01\x02\x03\x04")


def read(data: bytes) -> TmFrame | Rejection:
    """As ground reads it."""
    return TmFrame.unpack(data, spacecraft_id=0x15A)


def sealed(place: int, value: int) -> bytes:
    """A frame with one byte set and its FECF made right again."""
    body = bytearray(FRAME.pack()[:-2])
    body[place] = value
    return bytes(body) + frame_crc(bytes(body)).to_bytes(2, "big")


def test_the_header_is_laid_out_as_the_standard_says() -> None:
    """132.0-B-3 §4.1.2, field by field."""
    data = FRAME.pack()
    bits = f"00{0x15A:010b}{1:03b}1{200:08b}{17:08b}00011{42:011b}"
    assert data[:6] == int(bits, 2).to_bytes(6, "big")
    assert data[6:-6] == FRAME.data
    assert data[-6:-2] == FRAME.ocf
    assert len(data) == FRAME_BYTES == 1115
    assert frame_crc(data) == 0


@pytest.mark.parametrize("first_header", [0, DATA_BYTES - 1, ONLY_IDLE, NO_FIRST_HEADER])
def test_a_frame_comes_back(first_header: int) -> None:
    """With every kind of first header pointer."""
    frame = dataclasses.replace(FRAME, first_header=first_header)
    assert read(frame.pack()) == frame


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (0, 0x55, Rejection.FRAME_VERSION),
        (0, 0x35, Rejection.SPACECRAFT_ID),
        (1, 0xA2, Rejection.FRAME_FIELDS),  # no OCF
        (4, 0x98, Rejection.FRAME_FIELDS),  # secondary header
        (4, 0x58, Rejection.FRAME_FIELDS),  # virtual channel access data
        (4, 0x08, Rejection.FRAME_FIELDS),  # segment length identifier
    ],
)
def test_each_wrong_field_has_its_reason(place: int, value: int, reason: Rejection) -> None:
    """Whatever else is right."""
    assert read(sealed(place, value)) is reason


@pytest.mark.parametrize("place", [DATA_BYTES, ONLY_IDLE - 1])
def test_a_pointer_beyond_the_data_field_is_refused(place: int) -> None:
    """No packet can start there."""
    assert read(dataclasses.replace(FRAME, first_header=place).pack()) is Rejection.FRAME_FIELDS


def test_length_and_crc_come_before_everything_else() -> None:
    """Another spacecraft's damaged frame is damaged."""
    data = dataclasses.replace(FRAME, spacecraft_id=1).pack()
    assert read(data[:-1]) is Rejection.FRAME_LENGTH
    assert read(data[:-1] + bytes([data[-1] ^ 1])) is Rejection.FRAME_CRC
    assert read(data) is Rejection.SPACECRAFT_ID
