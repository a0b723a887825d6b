"""The telecommand channel from end to end."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacelink import (
    DICTIONARY,
    Clcw,
    PacketTooLong,
    Rejection,
    UplinkReceiver,
    UplinkResult,
    UplinkSender,
    pack_command,
)
from spacelink.cltu import encode_cltu
from spacelink.tc_frame import MAX_PACKET, TcFrame

PACKET = pack_command("core.ping", {}, seq=1)
OURS = DICTIONARY.spacecraft


def flipped(data: bytes, *bits: int) -> bytes:
    """Data with these bits turned over."""
    wrong = bytearray(data)
    for bit in bits:
        wrong[bit // 8] ^= 0x80 >> bit % 8
    return bytes(wrong)


def framed(packet: bytes) -> bytes:
    """A CLTU with anything as its packet."""
    return encode_cltu(TcFrame(OURS.scid, OURS.virtual_channels["commands"], packet).pack())


@given(st.integers(7, MAX_PACKET), st.integers(0, 255))
def test_a_packet_of_any_length_arrives(length: int, value: int) -> None:
    """From 7 bytes to all that a frame carries."""
    packet = b"\x18\x64\xc0\x00" + (length - 7).to_bytes(2, "big") + bytes([value]) * (length - 6)
    receiver = UplinkReceiver()
    assert receiver.receive(UplinkSender().send(packet)) == UplinkResult(packet, None, 0)
    assert dict(receiver.counters) == {"cltus": 1, "bits_corrected": 0, "accepted": 1}


def test_wrong_bits_are_undone_and_counted() -> None:
    """One in the start sequence, one in each of two codeblocks."""
    receiver = UplinkReceiver()
    assert receiver.receive(flipped(UplinkSender().send(PACKET), 3, 30, 100)) == UplinkResult(PACKET, None, 2)
    assert receiver.counters["bits_corrected"] == 2


def test_each_end_of_a_damaged_cltu_has_its_name() -> None:
    """The reason is what happened, not what it led to: a codeblock beyond repair, not the short frame that it left."""
    cltu = UplinkSender().send(PACKET)
    receiver = UplinkReceiver()
    expected = {
        flipped(cltu, 0, 1): Rejection.NO_START,
        flipped(cltu, 16, 17): Rejection.BCH_UNCORRECTABLE,
        flipped(cltu, 16 + 64 * 4, 16 + 64 * 4 + 9): Rejection.BCH_UNCORRECTABLE,
        cltu[: 2 + 8 * 4]: Rejection.BCH_UNCORRECTABLE,
        b"": Rejection.NO_START,
        encode_cltu(TcFrame(OURS.scid, 0, PACKET).pack()[:-9]): Rejection.FRAME_LENGTH,
        encode_cltu(flipped(TcFrame(OURS.scid, 0, PACKET).pack(), 200)): Rejection.FRAME_CRC,
    }
    for datagram, reason in expected.items():
        result = receiver.receive(datagram)
        assert (result.packet, result.rejected) == (None, reason)
    assert receiver.counters["accepted"] == 0
    assert receiver.counters["bch_uncorrectable"] == 3
    assert receiver.counters["cltus"] == 7


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scid": OURS.scid ^ 1}, "spacecraft_id"),
        ({"virtual_channels": {**OURS.virtual_channels, "commands": 9}}, "virtual_channel"),
    ],
)
def test_another_spacecrafts_commands_are_not_ours(change: dict[str, object], reason: str) -> None:
    """Nor those of a channel that we have not."""
    theirs = UplinkSender(dataclasses.replace(OURS, **change))  # type: ignore[arg-type]
    result = UplinkReceiver().receive(theirs.send(PACKET))
    assert (result.packet, result.rejected) == (None, reason)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"\x18", "packet_length"),
        (PACKET[:-1], "packet_length"),
        (PACKET + b"\0", "packet_length"),
        (bytes([PACKET[0] | 0x20]) + PACKET[1:], "packet_version"),
    ],
)
def test_what_is_no_single_space_packet_is_rejected(packet: bytes, reason: str) -> None:
    """Its own length field must agree with the frame's."""
    result = UplinkReceiver().receive(framed(packet))
    assert (result.packet, result.rejected) == (None, reason)


def test_the_clcw_counts_the_frames_accepted() -> None:
    """FARM-B, modulo 4; a rejected frame does not move it."""
    sender, receiver = UplinkSender(), UplinkReceiver()
    counts = []
    for _ in range(6):
        receiver.receive(sender.send(PACKET))
        receiver.receive(b"noise")
        counts.append(receiver.clcw().farm_b_counter)
    assert counts == [1, 2, 3, 0, 1, 2]
    assert receiver.clcw() == Clcw(OURS.virtual_channels["commands"], farm_b_counter=2)


def test_a_packet_too_long_for_a_frame_is_an_error_of_the_caller() -> None:
    """Nothing is cut in silence."""
    with pytest.raises(PacketTooLong):
        UplinkSender().send(bytes(MAX_PACKET + 1))


def test_any_buffer_is_taken() -> None:
    """bytes, bytearray and memoryview."""
    cltu = UplinkSender().send(PACKET)
    for buffer in (cltu, bytearray(cltu), memoryview(cltu)):
        assert UplinkReceiver().receive(bytes(buffer)).packet == PACKET
        assert UplinkReceiver().receive(buffer).packet == PACKET  # type: ignore[arg-type]
