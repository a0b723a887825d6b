"""Ground in the small: real telecommands in CLTUs over UDP, real telemetry out of CADUs. No archive, no retries.

For benchmarks, campaigns and the demo's experiments, where a whole station would only be in the way.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from hil.errors import BenchError
from spacelink import (
    Assembler,
    DownlinkReceiver,
    PacketRefused,
    Report,
    UplinkSender,
    pack_command,
    request_id,
    unpack_report,
)

TURN_S: Final = 0.05
"""Longest time to listen before a condition is looked at again, s."""
DATAGRAM_BYTES: Final = 65_535
RECEIVE_BYTES: Final = 1 << 22


class Telecommander:
    """Sends commands to one flight process and keeps every report that came back, in order, until told to forget."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self.peer = f"127.0.0.1:{self._sock.getsockname()[1]}"
        """Where flight is to send its telemetry."""
        self.flight: tuple[str, int] | None = None
        """Where flight listens, once it is known."""
        self.uplink: Callable[[bytes], list[bytes]] = lambda cltu: [cltu]
        """What the link makes of a CLTU; link faults are put here."""
        self.downlink: Callable[[bytes], list[bytes]] = lambda cadu: [cadu]
        """What the link makes of a CADU."""
        self.idle: Callable[[], None] = lambda: None
        """Called in every turn of listening: whoever restarts what ended does it here."""
        self._sender = UplinkSender()
        self._receiver = DownlinkReceiver()
        self._seq = 0
        self.reports: list[Report] = []
        self.arrivals: list[float] = []
        """When each of the reports came, monotonic."""
        self.refused = 0
        """Packets that came through the frame layer and are none of ours."""

    def close(self) -> None:
        """Give the socket back."""
        self._sock.close()

    def forget(self) -> None:
        """Drop the reports so far, and what is still in the socket."""
        self.listen(0.0)
        self.reports.clear()
        self.arrivals.clear()

    # ---- up --------------------------------------------------------------------------------

    def command(self, name: str, args: Mapping[str, Any] | None = None) -> bytes:
        """Send a command; returns its request id."""
        packet = pack_command(name, args or {}, seq=self._seq)
        self._seq += 1
        for datagram in self.uplink(self._sender.send(packet)):
            if self.flight is not None:
                self._sock.sendto(datagram, self.flight)
        return request_id(packet)

    def ask(self, query_id: int, question: str, **args: Any) -> bytes:
        """Send a question; returns its request id."""
        return self.command("inference.ask", {"query_id": query_id, "question": question.encode(), **args})

    # ---- down ------------------------------------------------------------------------------

    def listen(self, seconds: float) -> int:
        """Wait for telemetry at most so long and take in what is there by then; returns how many reports came."""
        self.idle()
        frames: list[bytes] = []
        self._sock.settimeout(seconds)
        try:
            if seconds > 0:
                frames += self.downlink(self._sock.recv(DATAGRAM_BYTES))
            self._sock.setblocking(False)
            while True:  # decoding frame by frame would take time from the engine
                frames += self.downlink(self._sock.recv(DATAGRAM_BYTES))
        except (TimeoutError, BlockingIOError):
            pass
        before = len(self.reports)
        for packet in self._receiver.receive(frames) if frames else ():
            try:
                self.reports.append(unpack_report(packet))
            except PacketRefused:
                self.refused += 1
        self.arrivals += [time.monotonic()] * (len(self.reports) - before)
        return len(self.reports) - before

    def wait(self, what: str, found: Callable[[], bool], deadline_s: float) -> None:
        """Listen until a condition holds. Raises BenchError when it does not within the deadline."""
        end = time.monotonic() + deadline_s
        while not found():
            if time.monotonic() > end:
                told = ", ".join(one.args["event"] if one.name == "event" else one.name for one in self.reports[-8:])
                raise BenchError(f"waited {deadline_s:g} s for {what}, in vain; heard last: {told or 'nothing'}")
            self.listen(TURN_S)

    # ---- what was heard --------------------------------------------------------------------

    def named(self, name: str, **args: Any) -> list[Report]:
        """All reports of that name with these arguments so far."""
        return [one for one in self.reports if one.name == name and all(one.args.get(key) == args[key] for key in args)]

    def events(self, name: str) -> list[Report]:
        """All events of that name so far."""
        return [one for one in self.reports if one.name == "event" and one.args["event"] == name]

    def first(self, since: float, found: Callable[[Report], bool]) -> float | None:
        """When the first report that fits came after a monotonic time; None when none did."""
        for report, arrived in zip(self.reports, self.arrivals, strict=True):
            if arrived > since and found(report):
                return arrived
        return None

    def receipt(self, query_id: int) -> Mapping[str, Any] | None:
        """The receipt of a query, if it is here."""
        found = self.named("inference.receipt", query_id=query_id)
        return found[-1].args if found else None

    def text(self, receipt: Mapping[str, Any], kind: str = "answer") -> str | None:
        """The text that a receipt tells of, joined and compared with its hash; None while segments are missing."""
        size, digest = receipt[f"{kind}_bytes"], receipt[f"{kind}_sha256"]
        attempt = receipt["attempt"]
        assembler = Assembler()
        assembler.expect(size, digest, attempt=attempt)
        for one in self.named("inference.segment", query_id=receipt["query_id"], kind=kind, attempt=attempt):
            assembler.add(one.args["number"], one.args["data"], attempt)
        return assembler.text() if assembler.verified else None
