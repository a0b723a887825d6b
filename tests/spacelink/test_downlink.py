"""The telemetry channel from end to end."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacelink import DICTIONARY, Clcw, DownlinkReceiver, DownlinkSender, PacketTooLong
from spacelink.cadu import CADU_BYTES, decode_cadus, encode_cadus
from spacelink.downlink import MAX_PACKET
from spacelink.tm_frame import DATA_BYTES, NO_FIRST_HEADER, ONLY_IDLE, TmFrame

OURS = DICTIONARY.spacecraft
REPORTS, ANSWERS, IDLE = (OURS.virtual_channels[name] for name in ("reports", "answers", "idle"))
CLCW = Clcw(0, farm_b_counter=3)


def packet(length: int, seed: int = 0) -> bytes:
    """A telemetry space packet of a length (133.0-B-2 §4.1); the seed is its sequence count and makes its data."""
    header = b"\x08\x64" + (0xC000 | seed).to_bytes(2, "big") + (length - 7).to_bytes(2, "big")
    return header + random.Random(seed).randbytes(length - 6)


def frames_of(cadus: list[bytes]) -> list[TmFrame]:
    """The frames that CADUs hold."""
    frames = [TmFrame.unpack(cadu.frame, spacecraft_id=OURS.scid) for cadu in decode_cadus(cadus)]
    return [frame for frame in frames if isinstance(frame, TmFrame)]


def test_one_short_packet_leaves_at_once() -> None:
    """`fill=True`: one CADU, closed with an idle packet, with the CLCW in its control field."""
    sender, receiver = DownlinkSender(), DownlinkReceiver()
    sender.push(packet(90), REPORTS)
    cadus = sender.frames(CLCW, fill=True)
    assert [len(cadu) for cadu in cadus] == [CADU_BYTES]
    assert receiver.clcw is None
    assert receiver.receive(cadus) == [packet(90)]
    assert receiver.clcw == CLCW
    assert receiver.counters["idle_packets"] == 1
    assert sender.pending() == 0
    assert sender.frames(CLCW, fill=True) == []


def test_without_fill_only_full_frames_leave() -> None:
    """The rest waits, and is told as pending, until more comes or the frame is closed."""
    sender = DownlinkSender()
    sender.push(packet(1000), ANSWERS)
    assert sender.frames(CLCW, fill=False) == []
    assert sender.pending() == 1000
    sender.push(packet(1000), ANSWERS)
    assert len(sender.frames(CLCW, fill=False)) == 1
    assert sender.pending() == 2000 - DATA_BYTES
    assert len(sender.frames(CLCW, fill=True)) == 1
    assert sender.pending() == 0


def test_reports_go_before_answers() -> None:
    """However long the answers have waited."""
    sender = DownlinkSender()
    for seed in range(5):
        sender.push(packet(1103, seed), ANSWERS)
    sender.push(packet(80), REPORTS)
    channels = [frame.virtual_channel for frame in frames_of(sender.frames(CLCW, fill=True))]
    assert channels == [REPORTS] + [ANSWERS] * 5


def test_the_limit_paces() -> None:
    """At most so many CADUs; what is left keeps its order."""
    sender, receiver = DownlinkSender(), DownlinkReceiver()
    sent = [packet(700, seed) for seed in range(8)]
    for each in sent:
        sender.push(each, ANSWERS)
    assert sender.frames(CLCW, fill=True, limit=0) == []
    received = []
    while sender.pending():
        cadus = sender.frames(CLCW, fill=True, limit=2)
        assert 1 <= len(cadus) <= 2
        received += receiver.receive(cadus)
    assert received == sent


def test_counts_rise_by_channel_and_over_all() -> None:
    """Master and virtual channel frame counts, modulo 256 (132.0-B-3 §4.1.2.5 and §4.1.2.6)."""
    sender = DownlinkSender()
    cadus = []
    for index in range(600):
        sender.push(packet(50), REPORTS if index % 3 else ANSWERS)
        cadus += sender.frames(CLCW, fill=True)
    frames = frames_of(cadus)
    assert [frame.master_count for frame in frames] == [index % 256 for index in range(600)]
    for channel in (REPORTS, ANSWERS):
        own = [frame.channel_count for frame in frames if frame.virtual_channel == channel]
        assert own == [index % 256 for index in range(len(own))]


def test_the_first_header_pointer_says_where_a_packet_starts() -> None:
    """At 0, after the end of the one before, or nowhere."""
    sender = DownlinkSender()
    sender.push(packet(3 * DATA_BYTES + 10), ANSWERS)
    sender.push(packet(20), ANSWERS)
    pointers = [frame.first_header for frame in frames_of(sender.frames(CLCW, fill=True))]
    assert pointers == [0, NO_FIRST_HEADER, NO_FIRST_HEADER, 10]


@pytest.mark.parametrize("room", range(1, 7))
def test_a_gap_too_small_for_an_idle_packet_is_closed_over_the_edge(room: int) -> None:
    """An idle packet has at least 7 bytes: its rest opens the next frame, and starts none by itself."""
    sender, receiver = DownlinkSender(), DownlinkReceiver()
    sender.push(packet(DATA_BYTES - room), REPORTS)
    first = sender.frames(CLCW, fill=True)
    assert len(first) == 1
    assert sender.pending() == 0
    assert sender.frames(CLCW, fill=True) == []
    sender.push(packet(30), REPORTS)
    second = sender.frames(CLCW, fill=True)
    assert frames_of(second)[0].first_header == 7 - room
    assert receiver.receive(first + second) == [packet(DATA_BYTES - room), packet(30)]
    assert receiver.counters["idle_packets"] == 2


def test_an_idle_frame_tells_the_clcw_and_nothing_else() -> None:
    """Only idle data on its own channel (132.0-B-3 §4.1.2.7.6)."""
    sender, receiver = DownlinkSender(), DownlinkReceiver()
    (frame,) = frames_of([sender.idle(CLCW)])
    assert (frame.virtual_channel, frame.first_header) == (IDLE, ONLY_IDLE)
    assert receiver.receive([sender.idle(CLCW)]) == []
    assert receiver.clcw == CLCW
    assert receiver.counters["idle_frames"] == 1


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_packet_arrives_once_and_in_its_channels_order(data: st.DataObject) -> None:
    """Any lengths, any channels, any moments of sending, any grouping of datagrams."""
    sender, receiver = DownlinkSender(), DownlinkReceiver()
    sent: dict[int, list[bytes]] = {REPORTS: [], ANSWERS: []}
    cadus: list[bytes] = []
    for seed in range(data.draw(st.integers(1, 30))):
        length = data.draw(st.one_of(st.integers(7, 200), st.integers(1090, 1110), st.integers(7, 5000)))
        channel = data.draw(st.sampled_from([REPORTS, ANSWERS]))
        made = packet(length, seed)
        sent[channel].append(made)
        sender.push(made, channel)
        if data.draw(st.booleans()):
            limit = data.draw(st.one_of(st.none(), st.integers(0, 3)))
            cadus += sender.frames(CLCW, fill=data.draw(st.booleans()), limit=limit)
    cadus += sender.frames(CLCW, fill=True)
    received: list[bytes] = []
    group = data.draw(st.integers(1, 9))
    for first in range(0, len(cadus), group):
        received += receiver.receive(cadus[first : first + group])
    for channel, packets in sent.items():
        assert [each for each in received if each in packets] == packets, channel
    assert len(received) == sum(map(len, sent.values()))
    assert receiver.counters["frames_lost"] == receiver.counters["packets_cut"] == 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_the_link_does_to_frames_never_makes_a_packet_that_was_not_sent(data: st.DataObject) -> None:
    """Loss, repetition, reordering and damage: every packet delivered is one that was sent, and none comes twice."""
    sender, receiver = DownlinkSender(), DownlinkReceiver()
    sent = [packet(data.draw(st.integers(7, 2500)), seed) for seed in range(data.draw(st.integers(5, 40)))]
    cadus: list[bytes] = []
    for each in sent:
        sender.push(each, data.draw(st.sampled_from([REPORTS, ANSWERS])))
        if data.draw(st.booleans()):
            cadus += sender.frames(CLCW, fill=True)
    cadus += sender.frames(CLCW, fill=True)
    arriving = []
    for index, cadu in enumerate(cadus):
        for _ in range(data.draw(st.sampled_from([0, 1, 1, 1, 2]))):
            arriving.append((index + data.draw(st.integers(0, 6)), cadu))
    damaged = []
    for _, cadu in sorted(arriving, key=lambda pair: pair[0]):
        wrong = bytearray(cadu)
        for place in data.draw(st.lists(st.integers(0, CADU_BYTES - 1), max_size=3)):
            wrong[place] ^= 0x10
        damaged.append(bytes(wrong))
    received = receiver.receive(damaged)
    assert len(received) == len(set(received))
    assert set(received) <= set(sent)
    if len({cadu for _, cadu in arriving}) == len(cadus):
        assert set(received) == set(sent)
        assert receiver.counters["frames_lost"] == 0


def test_a_lost_frame_costs_only_the_packets_in_it() -> None:
    """The receiver finds its place again by the first header pointer, and counts what went."""
    sender, receiver = DownlinkSender(), DownlinkReceiver()
    sent = [packet(400, seed) for seed in range(20)]
    for each in sent:
        sender.push(each, ANSWERS)
    cadus = sender.frames(CLCW, fill=True)
    received = receiver.receive(cadus[:2] + cadus[3:])
    lost = [index for index, each in enumerate(sent) if each not in received]
    # Frame 2 has bytes 2206 to 3308: packets 5 (from 2000) to 8 (to 3600).
    assert lost == [5, 6, 7, 8]
    assert receiver.counters["frames_lost"] == 1
    assert receiver.counters["packets_cut"] == 0  # packet 5 may still come together
    assert receiver.receive([cadus[2]]) == sent[5:9]
    assert receiver.counters["frames_lost"] == 0
    assert receiver.counters["frames_late"] == 1


def test_a_repeated_frame_delivers_nothing() -> None:
    """Even when others came between."""
    sender, receiver = DownlinkSender(), DownlinkReceiver()
    cadus = []
    for seed in range(5):
        sender.push(packet(100, seed), REPORTS)
        cadus += sender.frames(CLCW, fill=True)
    assert len(receiver.receive(cadus)) == 5
    assert receiver.receive([cadus[4], cadus[1], cadus[1]]) == []
    assert receiver.counters["frames_duplicated"] == 3


def test_a_sender_that_starts_anew_is_heard_at_once() -> None:
    """Flight's core is killed and counts from 0 again, in the middle of a packet: nothing of the two is joined."""
    receiver = DownlinkReceiver()
    old = DownlinkSender()
    old.push(packet(2000), REPORTS)
    for seed in range(3):
        old.push(packet(1500, seed), REPORTS)
    before = old.frames(CLCW, fill=False, limit=3)
    assert receiver.receive(before) == [packet(2000)]
    anew = DownlinkSender()
    received = []
    for seed in range(10, 30):
        anew.push(packet(100, seed), REPORTS)
        received += receiver.receive(anew.frames(CLCW, fill=True))
    assert received == [packet(100, seed) for seed in range(10, 30)]
    assert receiver.counters["count_jumps"] == 1
    assert receiver.counters["packets_cut"] == 1


def test_another_spacecrafts_telemetry_is_not_ours() -> None:
    """Nor a virtual channel that we have not."""
    receiver = DownlinkReceiver()
    theirs = DownlinkSender(dataclasses.replace(OURS, scid=OURS.scid ^ 1))
    theirs.push(packet(50), REPORTS)
    strange = DownlinkSender(dataclasses.replace(OURS, virtual_channels={**OURS.virtual_channels, "answers": 5}))
    strange.push(packet(50), 5)
    assert receiver.receive(theirs.frames(CLCW, fill=True) + strange.frames(CLCW, fill=True)) == []
    assert receiver.counters["spacecraft_id"] == 1
    assert receiver.counters["virtual_channel"] == 1


@pytest.mark.parametrize(
    ("length", "version", "reason"), [(MAX_PACKET + 1, 0, "packet_length"), (90, 1, "packet_version")]
)
def test_a_packet_header_that_cannot_be_true_is_counted(length: int, version: int, reason: str) -> None:
    """The receiver gives up the rest of that frame and goes on with the next."""
    header = bytes([version << 5 | 8, 0x64, 0xC0, 0]) + (length - 7).to_bytes(2, "big")
    data = packet(100) + header + bytes(DATA_BYTES - 106)
    bad = TmFrame(OURS.scid, REPORTS, 0, 0, 0, data, CLCW.pack())
    good = TmFrame(OURS.scid, REPORTS, 1, 1, 0, packet(DATA_BYTES), CLCW.pack())
    receiver = DownlinkReceiver()
    assert receiver.receive(encode_cadus([bad.pack(), good.pack()])) == [packet(100), packet(DATA_BYTES)]
    assert receiver.counters[reason] == 1


def test_what_would_cost_the_receiver_its_place_is_not_taken() -> None:
    """Too long, no packet by its own length, or for a channel that is not."""
    sender = DownlinkSender()
    with pytest.raises(PacketTooLong, match="at most 8192 fit"):
        sender.push(packet(MAX_PACKET + 1), REPORTS)
    for bad in (b"", packet(50)[:-1], packet(50) + b"\0"):
        with pytest.raises(ValueError, match="no space packet"):
            sender.push(bad, REPORTS)
    with pytest.raises(ValueError, match="virtual channel 5 does not exist"):
        sender.push(packet(50), 5)
    assert sender.pending() == 0
