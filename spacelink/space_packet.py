"""The little that frames must know of a space packet (133.0-B-2 §4.1): its version, its APID, its length."""

from __future__ import annotations

import struct

HEADER = 6
MIN_PACKET = HEADER + 1
IDLE_APID = 0x7FF
"""133.0-B-2 §4.1.3.3.4.4."""
_IDLE_FILL = 0x55
_UNSEGMENTED = 0b11 << 14


def version(packet: bytes) -> int:
    """Packet version number, 0 for space packets; needs 1 byte."""
    return packet[0] >> 5


def apid(packet: bytes) -> int:
    """Application process identifier; needs 2 bytes."""
    return int.from_bytes(packet[:2], "big") & 0x7FF


def total_length(packet: bytes) -> int:
    """Bytes of the whole packet by its own length field; needs 6 bytes."""
    return HEADER + 1 + int.from_bytes(packet[4:6], "big")


def idle_packet(length: int) -> bytes:
    """An idle packet of `length` bytes, 7 or more."""
    return struct.pack(">HHH", IDLE_APID, _UNSEGMENTED, length - HEADER - 1) + bytes([_IDLE_FILL]) * (length - HEADER)
