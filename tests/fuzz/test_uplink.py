"""Noise at flight's ear: whatever comes is answered with a reason, and never becomes another command."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from spacelink import PacketRefused, Rejection, UplinkReceiver, UplinkSender, pack_command, unpack_command
from spacelink.cltu import START, TAIL, encode_cltu

PACKETS = [
    pack_command("core.ping", {}, seq=1),
    pack_command("inference.ask", {"query_id": 7, "question": b"How many ships are dark? " * 10}, seq=2),
]
CLTUS = [UplinkSender().send(packet) for packet in PACKETS]
REASONS = {reason.value for reason in Rejection}


def heard(datagram: bytes) -> bytes | None:
    """The packet that comes through; every other end has a known reason and is counted once."""
    receiver = UplinkReceiver()
    result = receiver.receive(datagram)
    assert (result.packet is None) != (result.rejected is None)
    assert result.rejected is None or result.rejected in REASONS
    assert receiver.counters[result.rejected or "accepted"] == 1
    assert receiver.clcw().farm_b_counter == (result.packet is not None)
    return result.packet


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2000))
def test_random_bytes_are_no_command(noise: bytes) -> None:
    """Bare, behind a start sequence, and as the content of a well-formed CLTU."""
    for datagram in (noise, START + noise, START + noise + TAIL, encode_cltu(noise or b"\0")):
        assert heard(datagram) is None


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([0, 1]), st.data())
def test_flipped_bits_leave_the_packet_or_nothing(which: int, data: st.DataObject) -> None:
    """From one bit to a storm. A CRC-16 lets 1 in 65,536 pass, so the packet's own checksum has the last word."""
    wrong = bytearray(CLTUS[which])
    for bit in data.draw(st.lists(st.integers(0, len(wrong) * 8 - 1), min_size=1, max_size=80)):
        wrong[bit // 8] ^= 0x80 >> bit % 8
    packet = heard(bytes(wrong))
    if packet is not None and packet != PACKETS[which]:
        try:
            unpack_command(packet)
        except PacketRefused:
            return
        raise AssertionError("a damaged telecommand became another one")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([0, 1]), st.data())
def test_a_piece_of_a_cltu_leaves_the_packet_or_nothing(which: int, data: st.DataObject) -> None:
    """Cut anywhere, with anything before and behind it."""
    cltu = CLTUS[which]
    first = data.draw(st.integers(0, len(cltu)))
    last = data.draw(st.integers(first, len(cltu)))
    packet = heard(data.draw(st.binary(max_size=40)) + cltu[first:last] + data.draw(st.binary(max_size=40)))
    assert packet in (None, PACKETS[which])


def test_a_datagram_of_the_greatest_size_is_judged() -> None:
    """65,507 bytes, as UDP allows: of nothing, of starts, and of codeblocks without end."""
    for datagram in (bytes(65_507), START * 32_753, encode_cltu(bytes(57_000))[:65_507]):
        assert heard(datagram) is None
