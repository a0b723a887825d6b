"""PUS-C packets: CCSDS 133.0-B-2 space packets with ECSS-E-ST-70-41C headers and a CRC-16 at the end.

Built and parsed with `spacepackets`. What arrives is looked at in one order: length, checksum, header, then content;
a packet that fails is refused with a reason of the dictionary, never with another exception.
"""

from dataclasses import dataclass
from typing import Final

from spacepackets.ecss.tc import PusTc
from spacepackets.ecss.tm import ManagedParams, PusTm

from spacelink.crc import frame_crc
from spacelink.cuc import LENGTH as TIME_BYTES
from spacelink.cuc import CucError, decode_cuc, encode_cuc
from spacelink.dictionary import DICTIONARY
from spacelink.errors import SpacelinkError

PRIMARY_HEADER: Final = 6
"""Bytes of the packet primary header (133.0-B-2 clause 4.1.3)."""
TC_HEADER: Final = 5
"""Bytes of the telecommand secondary header (ECSS-E-ST-70-41C clause 7.4.4.1, with a 16-bit source id)."""
TM_HEADER: Final = 7 + TIME_BYTES
"""Bytes of the telemetry secondary header (clause 7.4.3.1), its time included."""
CHECKSUM: Final = 2
"""Bytes of the packet error control (annex B: CRC-16/CCITT-FALSE)."""
SEQUENCE_COUNTS: Final = 16384
"""The packet sequence count has 14 bits (133.0-B-2 clause 4.1.3.4.3) and wraps."""

_PUS_C: Final = 2
_FLAGS_TC: Final = 0x1800  # version 0, telecommand, secondary header
_FLAGS_TM: Final = 0x0800  # version 0, telemetry, secondary header


class PacketRefused(SpacelinkError):  # noqa: N818 - named for what happened
    """A packet is not taken in.

    `reason` names an entry of `reasons.toml`. `request_id` is what a service 1 report would echo; it is None where the
    length or the checksum is wrong, since then nothing in the packet can be trusted, not even who sent it. `name` is
    the command's, where it is known.
    """

    def __init__(self, reason: str, detail: str, request_id: bytes | None = None, name: str | None = None) -> None:
        super().__init__(f"{name or 'packet'} refused as {reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.request_id = request_id
        self.name = name


@dataclass(frozen=True)
class Content:
    """What a packet that passed the checks carries: `data` is what stands between the headers and the checksum."""

    service: int
    subtype: int
    seq: int
    data: bytes
    time: float = 0.0


def request_id(packet: bytes) -> bytes:
    """Return the 4 bytes that service 1 echoes: packet version, packet id and sequence control (clause 6.1)."""
    return bytes(packet[:4])


def build_telecommand(service: int, subtype: int, data: bytes, seq: int) -> bytes:
    """Return a telecommand packet for the flight software that asks for all acknowledgements."""
    packet = PusTc(
        service=service,
        message_subtype=subtype,
        apid=DICTIONARY.spacecraft.apid,
        app_data=data,
        seq_count=seq % SEQUENCE_COUNTS,
        source_id=DICTIONARY.spacecraft.source_id,
    )
    return bytes(packet.pack())


def build_telemetry(service: int, subtype: int, data: bytes, seq: int, time: float) -> bytes:
    """Return a telemetry packet of the flight software. `time` is mission time in Unix seconds.

    The message type counter stays 0: types are not counted (ECSS-E-ST-70-41C clause 7.4.3.1 allows it).
    """
    packet = PusTm(
        service=service,
        message_subtype=subtype,
        timestamp=encode_cuc(time),
        source_data=data,
        apid=DICTIONARY.spacecraft.apid,
        seq_count=seq % SEQUENCE_COUNTS,
        destination_id=DICTIONARY.spacecraft.source_id,
    )
    return bytes(packet.pack())


def open_telecommand(packet: bytes) -> Content:
    """Return what a telecommand carries, or raise PacketRefused."""
    packet = bytes(packet)
    _check(packet, TC_HEADER, _FLAGS_TC)
    parsed = PusTc.unpack_generic(packet, has_checksum=True, verify_checksum=False)
    return Content(parsed.service, parsed.message_subtype, parsed.seq_count, bytes(parsed.app_data))


def open_telemetry(packet: bytes) -> Content:
    """Return what a telemetry packet carries, or raise PacketRefused."""
    packet = bytes(packet)
    _check(packet, TM_HEADER, _FLAGS_TM)
    parsed = PusTm.unpack_generic(packet, ManagedParams(TIME_BYTES, has_checksum=True, verify_checksum=False))
    try:
        time = decode_cuc(parsed.timestamp)
    except CucError as error:
        raise PacketRefused("bad_header", str(error), request_id(packet)) from error
    return Content(parsed.service, parsed.message_subtype, parsed.seq_count, bytes(parsed.source_data), time)


def _check(packet: bytes, secondary: int, flags: int) -> None:
    least = PRIMARY_HEADER + secondary + CHECKSUM
    if len(packet) < least:
        raise PacketRefused("bad_length", f"expected at least {least} bytes, found {len(packet)}")
    said = PRIMARY_HEADER + 1 + int.from_bytes(packet[4:6], "big")
    if said != len(packet):
        raise PacketRefused("bad_length", f"the header says {said} bytes, found {len(packet)}")
    expected, found = frame_crc(packet[:-CHECKSUM]), int.from_bytes(packet[-CHECKSUM:], "big")
    if expected != found:
        raise PacketRefused("bad_checksum", f"expected {expected:#06x}, found {found:#06x}")
    identity = request_id(packet)
    first = int.from_bytes(packet[:2], "big")
    if first & 0xF800 != flags:
        raise PacketRefused("bad_header", f"expected flags {flags:#06x}, found {first & 0xF800:#06x}", identity)
    if packet[2] >> 6 != 0b11:
        raise PacketRefused("bad_header", "the packet is a part of a longer one", identity)
    if packet[PRIMARY_HEADER] >> 4 != _PUS_C:
        raise PacketRefused(
            "bad_header", f"expected PUS version {_PUS_C}, found {packet[PRIMARY_HEADER] >> 4}", identity
        )
    apid = DICTIONARY.spacecraft.apid
    if first & 0x07FF != apid:
        raise PacketRefused("wrong_apid", f"expected {apid:#05x}, found {first & 0x07FF:#05x}", identity)
