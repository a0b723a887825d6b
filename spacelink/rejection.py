"""Why a receiver turned something away: the names under which radio life is counted."""

from __future__ import annotations

from enum import StrEnum


class Rejection(StrEnum):
    """One reason for dropping a datagram, a frame or a packet; the value is the counter's name."""

    # Telecommand, in the order of the checks.
    NO_START = "no_start"
    """No start sequence was found (231.0-B-4 §5.2)."""
    BCH_UNCORRECTABLE = "bch_uncorrectable"
    """A codeblock with more than one wrong bit came before the end of the frame."""
    FRAME_LENGTH = "frame_length"
    """The frame is shorter or longer than its length field, or the field is out of range."""
    FRAME_CRC = "frame_crc"
    """The Frame Error Control Field does not match."""
    FRAME_VERSION = "frame_version"
    """The transfer frame version number is not 0."""
    FRAME_TYPE = "frame_type"
    """Not a Type-BD frame: bypass flag 0, control command flag 1, or spare bits set."""
    SPACECRAFT_ID = "spacecraft_id"
    """The frame is for another spacecraft."""
    VIRTUAL_CHANNEL = "virtual_channel"
    """The frame is for a virtual channel that does not exist here."""
    SECURITY_HEADER = "security_header"
    """The bytes reserved for security are not zero."""
    PACKET_VERSION = "packet_version"
    """The space packet version number is not 0."""
    PACKET_LENGTH = "packet_length"
    """The space packet's length field disagrees with the bytes that came."""

    # Telemetry only.
    CADU_LENGTH = "cadu_length"
    """The datagram has not the length of a CADU."""
    NO_ASM = "no_asm"
    """The attached sync marker has more wrong bits than tolerated."""
    RS_UNCORRECTABLE = "rs_uncorrectable"
    """At least one Reed-Solomon codeword has more than 16 wrong symbols."""
    FRAME_FIELDS = "frame_fields"
    """Header fields do not fit the managed parameters of this channel, or the first header pointer is impossible."""
