"""TM transfer frame (132.0-B-3 §4.1): 1115 bytes, no secondary header, CLCW in the OCF, FECF.

primary header 6 │ data field 1103 │ OCF 4 │ FECF 2
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from spacelink.crc import frame_crc
from spacelink.rejection import Rejection

FRAME_BYTES = 1115
"""Fixed by RS(255,223) with I = 5 and no virtual fill (131.0-B §4.3)."""
HEADER = 6
OCF = 4
FECF = 2
DATA_BYTES = FRAME_BYTES - HEADER - OCF - FECF

NO_FIRST_HEADER = 0x7FF
"""First header pointer of a frame in which no packet starts, §4.1.2.7.6."""
ONLY_IDLE = 0x7FE
"""First header pointer of a frame with only idle data, §4.1.2.7.6."""
COUNT_MODULUS = 256
"""Master and virtual channel frame counts have 8 bits, §4.1.2.5 and §4.1.2.6."""

_HEADER = struct.Struct(">HBBH")
_OCF_FLAG = 1
_STATUS = 0b11 << 11
"""No secondary header, octet synchronised, packets in order, segment length identifier 11, §4.1.2.7."""


@dataclass(frozen=True)
class TmFrame:
    """One frame of one virtual channel."""

    spacecraft_id: int
    """10 bits."""
    virtual_channel: int
    """3 bits."""
    master_count: int
    channel_count: int
    first_header: int
    """Offset in `data` of the first packet that starts there, or `NO_FIRST_HEADER`, or `ONLY_IDLE`."""
    data: bytes
    """1103 bytes."""
    ocf: bytes
    """4 bytes: a CLCW."""

    def pack(self) -> bytes:
        """The frame's 1115 bytes."""
        header = _HEADER.pack(
            self.spacecraft_id << 4 | self.virtual_channel << 1 | _OCF_FLAG,
            self.master_count,
            self.channel_count,
            _STATUS | self.first_header,
        )
        body = header + self.data + self.ocf
        return body + struct.pack(">H", frame_crc(body))

    @classmethod
    def unpack(cls, frame: bytes, *, spacecraft_id: int) -> TmFrame | Rejection:
        """Read 1115 bytes, CRC before everything else."""
        if len(frame) != FRAME_BYTES:
            return Rejection.FRAME_LENGTH
        if frame_crc(frame) != 0:
            return Rejection.FRAME_CRC
        identifier, master_count, channel_count, status = _HEADER.unpack_from(frame)
        if identifier >> 14:
            return Rejection.FRAME_VERSION
        if identifier >> 4 != spacecraft_id:
            return Rejection.SPACECRAFT_ID
        first_header = status & 0x7FF
        if not identifier & _OCF_FLAG or status & ~0x7FF != _STATUS or DATA_BYTES <= first_header < ONLY_IDLE:
            return Rejection.FRAME_FIELDS
        return cls(
            spacecraft_id,
            identifier >> 1 & 7,
            master_count,
            channel_count,
            first_header,
            frame[HEADER : HEADER + DATA_BYTES],
            frame[HEADER + DATA_BYTES : -FECF],
        )
