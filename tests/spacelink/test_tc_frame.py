"""TC transfer frames."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spacelink.crc import frame_crc
from spacelink.errors import PacketTooLong
from spacelink.rejection import Rejection
from spacelink.tc_frame import MAX_FRAME, MAX_PACKET, TcFrame

SCID, VC = 0x15A, 3
PACKET = bytes(range(20))


def read(data: bytes) -> TcFrame | Rejection:
    """As the spacecraft reads it."""
    return TcFrame.unpack(data, spacecraft_id=SCID, virtual_channel=VC)


def sealed(change: Callable[[bytearray], None]) -> bytes:
    """A frame with something changed and its FECF made right again."""
    body = bytearray(TcFrame(SCID, VC, PACKET).pack()[:-2])
    change(body)
    return bytes(body) + frame_crc(bytes(body)).to_bytes(2, "big")


def put(place: int, value: int) -> Callable[[bytearray], None]:
    """Set one byte."""

    def change(body: bytearray) -> None:
        body[place] = value

    return change


def test_the_header_is_laid_out_as_the_standard_says() -> None:
    """232.0-B-4 §4.1.2, field by field: version 0, bypass 1, command 0, spare 0, SCID, VCID, length - 1, N(S) 0."""
    frame = TcFrame(SCID, VC, PACKET).pack()
    bits = f"001000{SCID:010b}{VC:06b}{len(frame) - 1:010b}{0:08b}"
    assert frame[:5] == int(bits, 2).to_bytes(5, "big")
    assert frame[5:19] == bytes(14)
    assert frame[19:39] == PACKET
    assert frame[39:55] == bytes(16)
    assert frame_crc(frame) == 0


def test_a_frame_comes_back_whatever_fill_follows() -> None:
    """The length field cuts it."""
    frame = TcFrame(SCID, VC, PACKET)
    assert read(frame.pack()) == frame
    assert read(frame.pack() + b"\x55" * 6) == frame


def test_the_longest_packet_fills_the_longest_frame() -> None:
    """And one byte more is an error that says how much fits."""
    assert len(TcFrame(SCID, VC, bytes(MAX_PACKET)).pack()) == MAX_FRAME == 1024
    with pytest.raises(PacketTooLong, match=rf"{MAX_PACKET + 1} bytes, but at most {MAX_PACKET} fit"):
        TcFrame(SCID, VC, bytes(MAX_PACKET + 1)).pack()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put(0, 0x60 | SCID >> 8), Rejection.FRAME_VERSION),
        (put(0, 0x00 | SCID >> 8), Rejection.FRAME_TYPE),  # Type-AD
        (put(0, 0x30 | SCID >> 8), Rejection.FRAME_TYPE),  # Type-BC
        (put(0, 0x24 | SCID >> 8), Rejection.FRAME_TYPE),  # spare bits
        (put(1, SCID & 0xFF ^ 1), Rejection.SPACECRAFT_ID),
        (put(2, (VC + 1) << 2), Rejection.VIRTUAL_CHANNEL),
        (put(5, 1), Rejection.SECURITY_HEADER),  # SPI
        (put(18, 1), Rejection.SECURITY_HEADER),  # IV
        (put(39, 1), Rejection.SECURITY_HEADER),  # MAC
        (put(54, 1), Rejection.SECURITY_HEADER),
    ],
)
def test_each_wrong_field_has_its_reason(change: Callable[[bytearray], None], reason: Rejection) -> None:
    """Whatever else is right."""
    assert read(sealed(change)) is reason


def test_length_and_crc_come_before_everything_else() -> None:
    """A frame that is wrong in every way is first of all too short, then damaged."""
    frame = TcFrame(SCID ^ 1, VC ^ 1, PACKET).pack()
    assert read(frame[:-1]) is Rejection.FRAME_LENGTH
    assert read(frame[:-1] + b"\0") is Rejection.FRAME_CRC
    assert read(frame) is Rejection.SPACECRAFT_ID


@pytest.mark.parametrize("length", [0, 1, 5, 36, 37])
def test_a_frame_without_room_for_a_packet_is_refused(length: int) -> None:
    """Whether its bytes are missing or its length field says so."""
    frame = TcFrame(SCID, VC, PACKET).pack()
    assert read(frame[:length]) is Rejection.FRAME_LENGTH
    short = bytearray(frame)
    short[2:4] = (VC << 10 | max(length - 1, 0)).to_bytes(2, "big")
    assert read(bytes(short)) is Rejection.FRAME_LENGTH
