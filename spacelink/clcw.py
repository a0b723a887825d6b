"""Communications Link Control Word (232.0-B-4 §4.2): what the receiver on board tells of the uplink."""

from __future__ import annotations

import struct
from dataclasses import dataclass

COP_1 = 1
"""COP in effect, 232.0-B-4 §4.2.1."""


@dataclass(frozen=True)
class Clcw:
    """The report of one virtual channel. Only the FARM-B counter moves while frames are of Type-BD."""

    virtual_channel: int
    farm_b_counter: int = 0
    """Type-B frames accepted, modulo 4."""
    report_value: int = 0
    """V(R), next expected N(S) of Type-A frames."""
    no_rf_available: bool = False
    no_bit_lock: bool = False
    lockout: bool = False
    wait: bool = False
    retransmit: bool = False
    status: int = 0
    """Status field, 3 bits, mission specific."""

    def pack(self) -> bytes:
        """The four bytes of the Operational Control Field, type 1."""
        word = (self.status & 7) << 26 | COP_1 << 24 | (self.virtual_channel & 0x3F) << 18
        for bit, flag in (
            (15, self.no_rf_available),
            (14, self.no_bit_lock),
            (13, self.lockout),
            (12, self.wait),
            (11, self.retransmit),
        ):
            word |= flag << bit
        word |= (self.farm_b_counter & 3) << 9 | self.report_value & 0xFF
        return struct.pack(">I", word)

    @classmethod
    def unpack(cls, data: bytes) -> Clcw | None:
        """Read four bytes; None when they are no CLCW (control word type 1, other version, or other COP)."""
        (word,) = struct.unpack(">I", data)
        if word >> 29 or word >> 24 & 3 != COP_1:
            return None
        return cls(
            virtual_channel=word >> 18 & 0x3F,
            farm_b_counter=word >> 9 & 3,
            report_value=word & 0xFF,
            no_rf_available=bool(word >> 15 & 1),
            no_bit_lock=bool(word >> 14 & 1),
            lockout=bool(word >> 13 & 1),
            wait=bool(word >> 12 & 1),
            retransmit=bool(word >> 11 & 1),
            status=word >> 26 & 7,
        )
