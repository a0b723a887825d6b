"""Both ends of the telemetry channel: space packets in, CADUs out, and back.

Packets of a virtual channel run on from frame to frame; the first header pointer says where one starts, so that the
receiver finds its place again after a loss (132.0-B-3 §4.1.2.7.6).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from spacelink import space_packet
from spacelink.cadu import decode_cadus, encode_cadus
from spacelink.clcw import Clcw
from spacelink.dictionary import DICTIONARY, Spacecraft
from spacelink.errors import PacketTooLong
from spacelink.reassembly import Reassembler
from spacelink.rejection import Rejection
from spacelink.tm_frame import COUNT_MODULUS, DATA_BYTES, NO_FIRST_HEADER, ONLY_IDLE, TmFrame

MAX_PACKET = 8192
"""Longest telemetry packet both ends agree on (managed parameter, 132.0-B-3 §5.4)."""


class _Channel:
    """Packets of one virtual channel on their way into frames."""

    def __init__(self) -> None:
        self.waiting = 0
        """Bytes of packets not yet in a frame, without what is left of an idle packet."""
        self._queue: deque[bytes] = deque()
        self._left = b""
        """Rest of the packet that the last frame began."""
        self._left_is_idle = False

    def push(self, packet: bytes) -> None:
        self._queue.append(packet)
        self.waiting += len(packet)

    def fills_a_frame(self) -> bool:
        idle = len(self._left) if self._left_is_idle else 0
        return self.waiting + idle >= DATA_BYTES

    def data_field(self) -> tuple[int, bytes]:
        """First header pointer and the next 1103 bytes, closed with an idle packet when packets run out."""
        parts = [self._left]
        size = len(self._left)
        first_header = size if size < DATA_BYTES else NO_FIRST_HEADER
        if not self._left_is_idle:
            self.waiting -= min(size, DATA_BYTES)
        idle = self._left_is_idle
        while size < DATA_BYTES:
            idle = not self._queue
            if idle:
                packet = space_packet.idle_packet(max(space_packet.MIN_PACKET, DATA_BYTES - size))
            else:
                packet = self._queue.popleft()
                self.waiting -= min(len(packet), DATA_BYTES - size)
            parts.append(packet)
            size += len(packet)
        data = b"".join(parts)
        self._left, self._left_is_idle = data[DATA_BYTES:], idle
        return first_header, data[:DATA_BYTES]


class DownlinkSender:
    """Flight's end. The channel of reports is urgent: it goes first, the answers after it."""

    def __init__(self, spacecraft: Spacecraft | None = None) -> None:
        """For the spacecraft of the dictionary unless another is given."""
        spacecraft = spacecraft or DICTIONARY.spacecraft
        channels = spacecraft.virtual_channels
        self._spacecraft_id = spacecraft.scid
        self._idle_channel = channels["idle"]
        self._channels = {channels["reports"]: _Channel(), channels["answers"]: _Channel()}
        self._master_count = 0
        self._channel_counts = dict.fromkeys((*self._channels, self._idle_channel), 0)

    def push(self, packet: bytes, vc: int) -> None:
        """Queue a space packet on a virtual channel.

        `PacketTooLong` beyond `MAX_PACKET` bytes; `ValueError` for bytes that are no space packet by their own length
        field, which would cost the receiver its place.
        """
        if len(packet) > MAX_PACKET:
            raise PacketTooLong(found=len(packet), expected=MAX_PACKET)
        if len(packet) < space_packet.MIN_PACKET or space_packet.total_length(packet) != len(packet):
            raise ValueError(f"{len(packet)} bytes are no space packet: its length field disagrees")
        if vc not in self._channels:
            raise ValueError(f"virtual channel {vc} does not exist: expected one of {sorted(self._channels)}")
        self._channels[vc].push(packet)

    def pending(self) -> int:
        """Bytes of packets that no frame has taken yet, over all channels."""
        return sum(channel.waiting for channel in self._channels.values())

    def frames(self, clcw: Clcw, *, fill: bool, limit: int | None = None) -> list[bytes]:
        """CADUs of what is pending, at most `limit` of them; each tells `clcw`.

        `fill=False` makes only full frames; `fill=True` also closes a last frame on each channel with an idle packet.
        """
        ocf = clcw.pack()
        frames: list[bytes] = []
        for vc, channel in self._channels.items():
            while (limit is None or len(frames) < limit) and (channel.waiting if fill else channel.fills_a_frame()):
                frames.append(self._frame(vc, *channel.data_field(), ocf))
        return encode_cadus(frames)

    def idle(self, clcw: Clcw) -> bytes:
        """One CADU without packets, for the CLCW's sake."""
        return encode_cadus([self._frame(self._idle_channel, ONLY_IDLE, _IDLE_DATA, clcw.pack())])[0]

    def _frame(self, vc: int, first_header: int, data: bytes, ocf: bytes) -> bytes:
        count = self._channel_counts[vc]
        frame = TmFrame(self._spacecraft_id, vc, self._master_count, count, first_header, data, ocf)
        self._channel_counts[vc] = (count + 1) % COUNT_MODULUS
        self._master_count = (self._master_count + 1) % COUNT_MODULUS
        return frame.pack()


_IDLE_DATA = bytes([0x55]) * DATA_BYTES


class DownlinkReceiver:
    """Ground's end. Whatever bytes come, `receive` answers and counts; it raises nothing.

    Counters: `cadus` (datagrams seen), `frames` (good ones), `symbols_corrected`, `idle_frames`; by frame counts
    `frames_lost` (missing, and not come late since), `frames_late`, `frames_duplicated`, `count_jumps` (the sender
    started anew); `packets`, `idle_packets`, `packets_cut` (begun, never completed); and each `Rejection` met.
    """

    def __init__(self, spacecraft: Spacecraft | None = None) -> None:
        """For the spacecraft of the dictionary unless another is given."""
        spacecraft = spacecraft or DICTIONARY.spacecraft
        self._spacecraft_id = spacecraft.scid
        self._counters: Counter[str] = Counter()
        self._clcw: Clcw | None = None
        self._channels = {
            spacecraft.virtual_channels[name]: Reassembler(self._counters, max_packet=MAX_PACKET)
            for name in ("reports", "answers", "idle")
        }

    @property
    def counters(self) -> Mapping[str, int]:
        """Live view; a name not met yet reads 0."""
        return self._counters

    @property
    def clcw(self) -> Clcw | None:
        """The CLCW seen last; None before the first."""
        return self._clcw

    def receive(self, datagrams: Sequence[bytes]) -> list[bytes]:
        """Packets completed by these datagrams, in the order of their frames. A batch costs less than one by one."""
        packets: list[bytes] = []
        self._counters["cadus"] += len(datagrams)
        for cadu in decode_cadus([bytes(datagram) for datagram in datagrams]):
            self._counters["symbols_corrected"] += cadu.corrected
            if cadu.rejected is not None:
                self._counters[cadu.rejected] += 1
                continue
            frame = TmFrame.unpack(cadu.frame, spacecraft_id=self._spacecraft_id)
            if isinstance(frame, Rejection):
                self._counters[frame] += 1
                continue
            channel = self._channels.get(frame.virtual_channel)
            if channel is None:
                self._counters[Rejection.VIRTUAL_CHANNEL] += 1
                continue
            self._counters["frames"] += 1
            self._counters["idle_frames"] += frame.first_header == ONLY_IDLE
            self._clcw = Clcw.unpack(frame.ocf) or self._clcw
            packets += channel.receive(frame)
        return packets
