"""Space packets out of frames that come late, twice, or not at all."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from spacelink.reassembly import DEPTH, LONGEST_PACKET, Reassembler
from spacelink.tm_frame import DATA_BYTES, NO_FIRST_HEADER, ONLY_IDLE, TmFrame


def packet(length: int, seed: int = 0) -> bytes:
    """A telemetry space packet of a length (133.0-B-2 §4.1); the seed is its sequence count and makes its data."""
    header = b"\x08\x64" + (0xC000 | seed).to_bytes(2, "big") + (length - 7).to_bytes(2, "big")
    return header + random.Random(seed).randbytes(length - 6)


def frames(packets: list[bytes], first: int = 0) -> list[TmFrame]:
    """Frames that these packets fill exactly, by the words of 132.0-B-3 §4.1.2.7.6 and not by our sender."""
    stream = b"".join(packets)
    assert len(stream) % DATA_BYTES == 0
    starts = [sum(map(len, packets[:index])) for index in range(len(packets))]
    made = []
    for index in range(len(stream) // DATA_BYTES):
        low, high = index * DATA_BYTES, (index + 1) * DATA_BYTES
        inside = [start - low for start in starts if low <= start < high]
        count = (first + index) % 256
        pointer = inside[0] if inside else NO_FIRST_HEADER
        made.append(TmFrame(1, 0, count, count, pointer, stream[low:high], bytes(4)))
    return made


PACKETS = [packet(900, 1), packet(1300, 2), packet(3000, 3), packet(7 * DATA_BYTES - 5200, 4)]
"""Seven frames: packet 2 crosses an edge, packet 3 fills two frames whole and touches two more."""


@pytest.fixture
def counters() -> Counter[str]:
    """The counters of one receiver."""
    return Counter()


@pytest.fixture
def reassembler(counters: Counter[str]) -> Reassembler:
    """One channel's receiving end."""
    return Reassembler(counters, max_packet=8192)


def test_in_order_everything_comes_in_order(reassembler: Reassembler) -> None:
    """The plain case."""
    received = [each for frame in frames(PACKETS) for each in reassembler.receive(frame)]
    assert received == PACKETS


@pytest.mark.parametrize("late", range(7))
@pytest.mark.parametrize("after", [1, 2, 4])
def test_one_late_frame_costs_nothing(reassembler: Reassembler, counters: Counter[str], late: int, after: int) -> None:
    """Whichever it is, begun, crossed or ended in: all packets come, each once."""
    order = frames(PACKETS)
    order.insert(late + after, order.pop(late))
    received = [each for frame in order for each in reassembler.receive(frame)]
    assert sorted(received) == sorted(PACKETS)
    assert counters["frames_lost"] == 0
    assert counters["packets"] == len(PACKETS)


@pytest.mark.parametrize("lost", range(7))
def test_one_lost_frame_costs_the_packets_that_touch_it(reassembler: Reassembler, lost: int) -> None:
    """And no packet is joined over the gap."""
    made = frames(PACKETS)
    received = [each for index, frame in enumerate(made) if index != lost for each in reassembler.receive(frame)]
    edges = [sum(map(len, PACKETS[:index])) for index in range(len(PACKETS) + 1)]
    low, high = lost * DATA_BYTES, (lost + 1) * DATA_BYTES
    whole = [PACKETS[index] for index in range(len(PACKETS)) if edges[index + 1] <= low or edges[index] >= high]
    assert received == whole


def test_a_gap_of_the_same_shape_is_not_taken_for_the_missing_part(reassembler: Reassembler) -> None:
    """Two equal halves with a lost pair of halves between them fit by length: the counts tell them apart."""
    halves = [packet(DATA_BYTES * 2, 1), packet(DATA_BYTES * 2, 2)]
    a, _, _, d = frames(halves)
    assert reassembler.receive(a) == []
    assert reassembler.receive(d) == []


@pytest.mark.parametrize("pointer", [0, 50, 96, 98, 150])
def test_a_pointer_that_contradicts_the_packets_length_cuts_it(
    reassembler: Reassembler, counters: Counter[str], pointer: int
) -> None:
    """A packet that should end at 97 ends neither sooner nor later; and what the pointer shows is taken."""
    first, second = frames([packet(1200, 1), packet(2 * DATA_BYTES - 1200, 2)])
    data = second.data[:pointer] + packet(DATA_BYTES - pointer, 3)
    assert reassembler.receive(first) == []
    assert reassembler.receive(TmFrame(1, 0, 1, 1, pointer, data, bytes(4))) == [packet(DATA_BYTES - pointer, 3)]
    assert counters["packets_cut"] == 1


def test_a_split_packet_header_is_joined(reassembler: Reassembler) -> None:
    """Five of its six bytes in one frame, one in the next."""
    pieces = [packet(DATA_BYTES - 5, 1), packet(DATA_BYTES + 5, 2)]
    received = [each for frame in frames(pieces) for each in reassembler.receive(frame)]
    assert received == pieces


def test_counts_wrap(reassembler: Reassembler, counters: Counter[str]) -> None:
    """From 255 to 0, in the middle of a packet, with a late frame on the way."""
    order = frames(PACKETS, first=252)
    order[3], order[4] = order[4], order[3]
    received = [each for frame in order for each in reassembler.receive(frame)]
    assert sorted(received) == sorted(PACKETS)
    assert counters["frames_lost"] == 0


def test_losses_are_counted_by_the_counts(reassembler: Reassembler, counters: Counter[str]) -> None:
    """Up to half of the modulus; beyond that the count tells nothing of how many."""
    for count in (10, 11, 14, 100):
        reassembler.receive(TmFrame(1, 0, count, count, ONLY_IDLE, bytes(DATA_BYTES), bytes(4)))
    assert counters["frames_lost"] == 2 + 85
    reassembler.receive(TmFrame(1, 0, 50, 50, ONLY_IDLE, bytes(DATA_BYTES), bytes(4)))
    assert counters["frames_lost"] == 2 + 85
    assert counters["count_jumps"] == 1


def test_a_frame_from_before_the_first_is_taken(reassembler: Reassembler, counters: Counter[str]) -> None:
    """The first two frames ever, exchanged on the way: no loss is invented."""
    a, b = frames([packet(DATA_BYTES, 1), packet(DATA_BYTES, 2)])
    assert reassembler.receive(b) == [packet(DATA_BYTES, 2)]
    assert reassembler.receive(a) == [packet(DATA_BYTES, 1)]
    assert counters["frames_lost"] == 0


def test_a_packet_given_up_is_counted_once_its_frames_are_too_old(
    reassembler: Reassembler, counters: Counter[str]
) -> None:
    """Its beginning waits for `DEPTH` frames, then it is cut."""
    first, _ = frames([packet(2 * DATA_BYTES, 1)])
    reassembler.receive(first)
    for count in range(2, DEPTH + 1):
        assert counters["packets_cut"] == 0
        reassembler.receive(TmFrame(1, 0, count, count, ONLY_IDLE, bytes(DATA_BYTES), bytes(4)))
    assert counters["packets_cut"] == 1


def test_a_longest_packet_is_whole_before_its_beginning_is_forgotten() -> None:
    """The bound on lengths is what the depth allows; beyond it the constructor refuses."""
    counters: Counter[str] = Counter()
    reassembler = Reassembler(counters, max_packet=LONGEST_PACKET)
    total = -(-(LONGEST_PACKET + 8) // DATA_BYTES) * DATA_BYTES
    pieces = [packet(8, 1), packet(LONGEST_PACKET, 2), packet(total - LONGEST_PACKET - 8, 3)]
    assert [each for frame in frames(pieces) for each in reassembler.receive(frame)] == pieces
    with pytest.raises(ValueError, match="max_packet"):
        Reassembler(counters, max_packet=LONGEST_PACKET + 1)
