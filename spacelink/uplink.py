"""Both ends of the telecommand channel: a space packet in, a CLTU out, and back.

No sequence control (Type-BD): repetition belongs to whoever waits for the PUS-1 report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from spacelink import space_packet
from spacelink.clcw import Clcw
from spacelink.cltu import decode_cltu, encode_cltu
from spacelink.dictionary import DICTIONARY, Spacecraft
from spacelink.rejection import Rejection
from spacelink.tc_frame import MAX_PACKET, TcFrame

__all__ = ["MAX_PACKET", "UplinkReceiver", "UplinkResult", "UplinkSender"]


class UplinkSender:
    """Ground's end."""

    def __init__(self, spacecraft: Spacecraft | None = None) -> None:
        """For the spacecraft of the dictionary unless another is given."""
        self._spacecraft_id, self._virtual_channel = _address(spacecraft)

    def send(self, packet: bytes) -> bytes:
        """One CLTU (one datagram) for one space packet; `PacketTooLong` beyond `MAX_PACKET` bytes."""
        return encode_cltu(TcFrame(self._spacecraft_id, self._virtual_channel, packet).pack())


@dataclass(frozen=True)
class UplinkResult:
    """What came of one datagram."""

    packet: bytes | None
    """The space packet, whole; None when rejected."""
    rejected: Rejection | None
    """A string: the counter's name."""
    corrected: int
    """Wrong bits undone by the code."""


class UplinkReceiver:
    """Flight's end. Whatever bytes come, `receive` answers and counts; it raises nothing.

    Counters: `cltus` (datagrams seen), `accepted`, `bits_corrected`, and each `Rejection` met.
    """

    def __init__(self, spacecraft: Spacecraft | None = None) -> None:
        """For the spacecraft of the dictionary unless another is given."""
        self._spacecraft_id, self._virtual_channel = _address(spacecraft)
        self._counters: Counter[str] = Counter()

    @property
    def counters(self) -> Mapping[str, int]:
        """Live view; a name not met yet reads 0."""
        return self._counters

    def receive(self, datagram: bytes) -> UplinkResult:
        """Decode one datagram."""
        self._counters["cltus"] += 1
        result = self._decode(bytes(datagram))
        self._counters["bits_corrected"] += result.corrected
        self._counters["accepted" if result.rejected is None else result.rejected.value] += 1
        return result

    def clcw(self) -> Clcw:
        """The report for the next telemetry frame."""
        return Clcw(self._virtual_channel, farm_b_counter=self._counters["accepted"] % 4)

    def _decode(self, datagram: bytes) -> UplinkResult:
        cltu = decode_cltu(datagram)
        if isinstance(cltu, Rejection):
            return UplinkResult(None, cltu, 0)
        frame = TcFrame.unpack(cltu.frame, spacecraft_id=self._spacecraft_id, virtual_channel=self._virtual_channel)
        if isinstance(frame, Rejection):
            # Cut short by a codeblock beyond repair: that, not the length, is what happened.
            cut = frame is Rejection.FRAME_LENGTH and not cltu.complete
            return UplinkResult(None, Rejection.BCH_UNCORRECTABLE if cut else frame, cltu.corrected)
        return UplinkResult(*_checked(frame.packet), cltu.corrected)


def _address(spacecraft: Spacecraft | None) -> tuple[int, int]:
    """Spacecraft id and virtual channel of its telecommands."""
    spacecraft = spacecraft or DICTIONARY.spacecraft
    return spacecraft.scid, spacecraft.virtual_channels["commands"]


def _checked(packet: bytes) -> tuple[bytes | None, Rejection | None]:
    if len(packet) < space_packet.MIN_PACKET or space_packet.total_length(packet) != len(packet):
        return None, Rejection.PACKET_LENGTH
    if space_packet.version(packet) != 0:
        return None, Rejection.PACKET_VERSION
    return packet, None
