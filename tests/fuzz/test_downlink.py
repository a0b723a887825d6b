"""Noise at ground's ear: whatever comes is counted, and never becomes a packet that flight did not send."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from spacelink import Clcw, DownlinkReceiver, DownlinkSender, pack_report
from spacelink.cadu import ASM, CADU_BYTES, decode_cadus, encode_cadus
from spacelink.crc import frame_crc
from spacelink.tm_frame import FRAME_BYTES

SEGMENT = {"query_id": 7, "kind": "answer", "number": 0, "attempt": 0, "data": b"Two vessels are dark."}
PACKETS = [pack_report("inference.segment", SEGMENT, seq=seq, time=1_795_000_000.0 + seq) for seq in range(60)]


def cadus() -> list[bytes]:
    """Several frames of segments on one channel, packets crossing their edges."""
    sender = DownlinkSender()
    for packet in PACKETS:
        sender.push(packet, 1)
    return sender.frames(Clcw(0), fill=True)


CADUS = cadus()
FRAMES = [cadu.frame for cadu in decode_cadus(CADUS)]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=1400), st.binary(min_size=1275, max_size=1275).map(ASM.__add__)), max_size=4)
)
def test_random_bytes_are_no_telemetry(noise: list[bytes]) -> None:
    """Of any length, and of the right length behind the right marker."""
    receiver = DownlinkReceiver()
    assert receiver.receive(noise) == []
    assert receiver.counters["cadus"] == len(noise)
    assert receiver.counters["frames"] == 0
    reasons = ("cadu_length", "no_asm", "rs_uncorrectable", "frame_crc")
    assert sum(receiver.counters[reason] for reason in reasons) == len(noise)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_flipped_bits_leave_sent_packets_or_nothing(data: st.DataObject) -> None:
    """From a few bits to more than the code bears, in any of the frames."""
    arriving = []
    for cadu in CADUS:
        wrong = bytearray(cadu)
        start, width = data.draw(st.integers(0, CADU_BYTES - 1)), data.draw(st.sampled_from([0, 1, 30, 80, 100, 400]))
        for place in range(start, min(start + width, CADU_BYTES)):
            wrong[place] ^= data.draw(st.integers(1, 255)) if width < 50 else 0xA5
        arriving.append(bytes(wrong))
    receiver = DownlinkReceiver()
    received = receiver.receive(arriving)
    assert len(received) == len(set(received))
    assert set(received) <= set(PACKETS)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_frames_that_lie_never_break_the_receiver(data: st.DataObject) -> None:
    """A sender gone mad, with right checksums: any bytes in any order as header and data. Counted, never raised."""
    receiver = DownlinkReceiver()
    for _ in range(data.draw(st.integers(1, 6))):
        body = bytearray(data.draw(st.sampled_from(FRAMES))[:-2])
        for place, value in data.draw(st.dictionaries(st.integers(0, 40), st.integers(0, 255), max_size=8)).items():
            body[place] = value
        frame = bytes(body) + frame_crc(bytes(body)).to_bytes(2, "big")
        assert len(frame) == FRAME_BYTES
        for packet in receiver.receive(encode_cadus([frame])):
            assert len(packet) == 7 + int.from_bytes(packet[4:6], "big")
            assert packet[0] >> 5 == 0
    assert all(count >= 0 for count in receiver.counters.values())


def test_the_undamaged_frames_bring_everything() -> None:
    """The measure of the tests above: without noise all packets come."""
    assert DownlinkReceiver().receive(CADUS) == PACKETS
