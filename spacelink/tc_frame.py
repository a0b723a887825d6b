"""TC transfer frame (232.0-B-4 §4.1), Type-BD, one space packet a frame, with the bytes of SDLS reserved (355.0-B).

    header 5 │ security header 14: SPI 2, IV 12 │ packet │ MAC 16 │ FECF 2

Security header and MAC are zero until SDLS is in; anything else there is refused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from spacelink.crc import frame_crc
from spacelink.errors import PacketTooLong
from spacelink.rejection import Rejection

MAX_FRAME = 1024
"""232.0-B-4 §4.1.2.7: the length field has 10 bits and counts from one."""
HEADER = 5
SECURITY_HEADER = 14
MAC = 16
FECF = 2
OVERHEAD = HEADER + SECURITY_HEADER + MAC + FECF
MAX_PACKET = MAX_FRAME - OVERHEAD
"""Longest space packet that one frame carries."""

_HEADER = struct.Struct(">HHB")
_BYPASS = 1 << 13
_CONTROL = 1 << 12
_SPARE = 3 << 10


@dataclass(frozen=True)
class TcFrame:
    """A Type-BD frame: taken by the receiver without sequence control."""

    spacecraft_id: int
    """10 bits."""
    virtual_channel: int
    """6 bits."""
    packet: bytes

    def pack(self) -> bytes:
        """The frame's bytes; `PacketTooLong` beyond `MAX_PACKET`."""
        if len(self.packet) > MAX_PACKET:
            raise PacketTooLong(found=len(self.packet), expected=MAX_PACKET)
        length = OVERHEAD + len(self.packet)
        # Frame sequence number: all zeros for Type-B (§4.1.2.8).
        header = _HEADER.pack(_BYPASS | self.spacecraft_id, self.virtual_channel << 10 | (length - 1), 0)
        body = header + bytes(SECURITY_HEADER) + self.packet + bytes(MAC)
        return body + struct.pack(">H", frame_crc(body))

    @classmethod
    def unpack(cls, data: bytes, *, spacecraft_id: int, virtual_channel: int) -> TcFrame | Rejection:
        """Read a frame followed by any fill, length and CRC before everything else (frame validation, §4.4)."""
        if len(data) < OVERHEAD:
            return Rejection.FRAME_LENGTH
        first, second, _sequence = _HEADER.unpack_from(data)
        length = (second & 0x3FF) + 1
        if not OVERHEAD < length <= len(data):
            return Rejection.FRAME_LENGTH
        frame = data[:length]
        if frame_crc(frame) != 0:
            return Rejection.FRAME_CRC
        if first >> 14:
            return Rejection.FRAME_VERSION
        if not first & _BYPASS or first & (_CONTROL | _SPARE):
            return Rejection.FRAME_TYPE
        if first & 0x3FF != spacecraft_id:
            return Rejection.SPACECRAFT_ID
        if second >> 10 != virtual_channel:
            return Rejection.VIRTUAL_CHANNEL
        if any(frame[HEADER : HEADER + SECURITY_HEADER]) or any(frame[-FECF - MAC : -FECF]):
            return Rejection.SECURITY_HEADER
        return cls(spacecraft_id, virtual_channel, frame[HEADER + SECURITY_HEADER : -FECF - MAC])
