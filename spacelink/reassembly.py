"""Space packets out of the frames of one virtual channel (132.0-B-3 §4.1.4), whatever the link did to their order.

A packet may run over several frames. The frames of the last counts are kept in pieces, so that a frame that comes late
still completes the packets that it carries parts of. Parts are joined only over frames of consecutive counts whose
first header pointers agree with the packet's own length: a packet that has a gap in it is never delivered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from spacelink import space_packet
from spacelink.rejection import Rejection
from spacelink.tm_frame import COUNT_MODULUS, DATA_BYTES, NO_FIRST_HEADER, ONLY_IDLE, TmFrame

DEPTH = 32
"""Frames kept, and how many counts late a frame may come. Small against the modulus, since a sender that starts anew
cannot be told from a late frame by its count alone."""
LONGEST_PACKET = (DEPTH - 2) * DATA_BYTES
"""A longer packet could leave the kept frames before its end came."""


@dataclass(slots=True)
class _Piece:
    """What one frame holds beside its whole packets."""

    identity: tuple[int, int, int]
    head: bytes
    """End (or middle) of a packet that began earlier."""
    tail: bytes
    """Beginning of a packet that ends later; emptied when that packet was delivered or given up."""
    solid: bool
    """No packet starts here: the head is the whole data field."""


class Reassembler:
    """One virtual channel's receiving end. Counts under the names that `DownlinkReceiver` documents."""

    def __init__(self, counters: Counter[str], *, max_packet: int) -> None:
        if not space_packet.MIN_PACKET <= max_packet <= LONGEST_PACKET:
            raise ValueError(f"max_packet must be {space_packet.MIN_PACKET} to {LONGEST_PACKET}, found {max_packet}")
        self._counters = counters
        self._max_packet = max_packet
        self._expected: int | None = None
        self._pieces: dict[int, _Piece] = {}
        self._missing: set[int] = set()

    def receive(self, frame: TmFrame) -> list[bytes]:
        """Packets that this frame completes; [] for a repeated frame."""
        count = frame.channel_count
        identity = (frame.master_count, frame.first_header, hash(frame.data))
        if not self._advance(count, identity):
            return []
        packets: list[bytes] = []
        self._pieces[count] = piece = self._cut(frame, identity, packets)
        before = (count - 1) % COUNT_MODULUS
        for _ in range(DEPTH):
            previous = self._pieces.get(before)
            if previous is None or not previous.solid:
                break
            before = (before - 1) % COUNT_MODULUS
        # What began before this frame goes first, what ends after it (it came late) last.
        packets = [*self._join(before), *packets]
        if piece.tail:
            packets += self._join(count)
        return packets

    def _advance(self, count: int, identity: tuple[int, int, int]) -> bool:
        """Compare the count with the expected one; False for a frame already seen."""
        ahead = 0 if self._expected is None else (count - self._expected) % COUNT_MODULUS
        if ahead >= COUNT_MODULUS - DEPTH:
            known = self._pieces.get(count)
            if known is None:
                self._counters["frames_late"] += 1
                # One from before the first frame seen was never counted as lost.
                self._counters["frames_lost"] -= count in self._missing
                self._missing.discard(count)
                return True
            if known.identity == identity:
                self._counters["frames_duplicated"] += 1
                return False
        if ahead >= COUNT_MODULUS // 2:
            # The sender started anew, or was silent for so long that its count tells nothing.
            self._counters["count_jumps"] += 1
            self._give_up(list(self._pieces))
            self._missing.clear()
        else:
            self._counters["frames_lost"] += ahead
            self._missing.update((count - back) % COUNT_MODULUS for back in range(1, ahead + 1))
            too_old = {(count - DEPTH - back) % COUNT_MODULUS for back in range(ahead + 1)}
            self._missing -= too_old
            self._give_up(too_old & self._pieces.keys())
        self._expected = (count + 1) % COUNT_MODULUS
        return True

    def _cut(self, frame: TmFrame, identity: tuple[int, int, int], packets: list[bytes]) -> _Piece:
        """Take the whole packets out of a frame."""
        if frame.first_header == ONLY_IDLE:
            return _Piece(identity, b"", b"", solid=False)
        if frame.first_header == NO_FIRST_HEADER:
            return _Piece(identity, frame.data, b"", solid=True)
        data, position = frame.data, frame.first_header
        while len(data) - position >= space_packet.HEADER:
            header = data[position : position + space_packet.HEADER]
            if not self._plausible(header):
                position = len(data)
                break
            end = position + space_packet.total_length(header)
            if end > len(data):
                break
            self._deliver(data[position:end], packets)
            position = end
        return _Piece(identity, data[: frame.first_header], data[position:], solid=False)

    def _join(self, first: int) -> list[bytes]:
        """The packet that begins in the tail of frame `first`, if every part of it is there."""
        packets: list[bytes] = []
        start = self._pieces.get(first)
        if start is None or not start.tail:
            return packets
        joined = start.tail
        count = (first + 1) % COUNT_MODULUS
        while (piece := self._pieces.get(count)) is not None:
            joined += piece.head
            if len(joined) >= space_packet.HEADER:
                missing = space_packet.total_length(joined) - len(joined)
                if missing == 0 and self._plausible(joined):
                    start.tail = b""
                    self._deliver(joined, packets)
                    return packets
                if missing <= 0 or not self._plausible(joined):
                    break
            if not piece.solid:
                break
            count = (count + 1) % COUNT_MODULUS
        else:
            return packets  # still open
        start.tail = b""
        self._counters["packets_cut"] += 1
        return packets

    def _plausible(self, header: bytes) -> bool:
        if space_packet.version(header) != 0:
            self._counters[Rejection.PACKET_VERSION] += 1
            return False
        if space_packet.total_length(header) > self._max_packet:
            self._counters[Rejection.PACKET_LENGTH] += 1
            return False
        return True

    def _deliver(self, packet: bytes, packets: list[bytes]) -> None:
        if space_packet.apid(packet) == space_packet.IDLE_APID:
            self._counters["idle_packets"] += 1
        else:
            self._counters["packets"] += 1
            packets.append(packet)

    def _give_up(self, counts: Iterable[int]) -> None:
        """Forget pieces; what began in them and has not ended is cut."""
        for count in counts:
            if self._pieces.pop(count).tail:
                self._counters["packets_cut"] += 1
