"""Ground in the small: real packets in real frames over UDP, for tests of the flight process. No retry, no archive."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from spacelink import Assembler, Report, pack_command, request_id, unpack_report
from spacelink.downlink import DownlinkReceiver
from spacelink.uplink import UplinkSender

DEADLINE_S = 60.0


class Client:
    """Sends commands to flight and keeps every report that came back, in order."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.peer = f"127.0.0.1:{self._sock.getsockname()[1]}"
        self.flight: tuple[str, int] = ("127.0.0.1", 0)
        self._uplink = UplinkSender()
        self._downlink = DownlinkReceiver()
        self._seq = 0
        self.reports: list[Report] = []

    def close(self) -> None:
        self._sock.close()

    def raw(self, datagram: bytes) -> None:
        """Send bytes as they are."""
        self._sock.sendto(datagram, self.flight)

    def packet(self, packet: bytes) -> None:
        """Send a packet in good frames."""
        self.raw(self._uplink.send(packet))

    def command(self, name: str, args: Mapping[str, Any] | None = None) -> bytes:
        """Send a command; returns its request id."""
        packet = pack_command(name, args or {}, seq=self._seq)
        self._seq += 1
        self.packet(packet)
        return request_id(packet)

    def ask(self, query_id: int, question: str | bytes, **args: Any) -> bytes:
        """Send a question; returns its request id."""
        data = question.encode() if isinstance(question, str) else question
        return self.command("inference.ask", {"query_id": query_id, "question": data, **args})

    def listen(self, seconds: float) -> None:
        """Take in what comes within a time."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._sock.settimeout(left)
            try:
                datagram = self._sock.recv(65535)
            except TimeoutError:
                return
            self.reports += [unpack_report(packet) for packet in self._downlink.receive([datagram])]

    def wait(
        self, what: str, found: Callable[[Report], bool], since: int = 0, deadline_s: float = DEADLINE_S
    ) -> Report:
        """The first report from number `since` on that fits, waiting for it as long as the deadline allows."""
        until = time.monotonic() + deadline_s
        looked = since
        while True:
            for report in self.reports[looked:]:
                if found(report):
                    return report
            looked = len(self.reports)
            if time.monotonic() > until:
                told = [(report.name, report.args) for report in self.reports[since:]][-25:]
                raise AssertionError(f"waited {deadline_s} s for {what}; heard {told}")
            self.listen(0.05)

    def await_report(self, name: str, since: int = 0, **args: Any) -> Report:
        """The first report of that name with these arguments."""
        return self.wait(
            f"{name} {args}",
            lambda report: report.name == name and all(report.args.get(key) == args[key] for key in args),
            since,
        )

    def await_event(self, name: str, since: int = 0, **args: Any) -> Report:
        """The first event of that name with these arguments."""
        return self.wait(
            f"event {name} {args}",
            lambda report: (
                report.name == "event"
                and report.args["event"] == name
                and all(report.args["args"].get(key) == args[key] for key in args)
            ),
            since,
        )

    def await_ping(self) -> None:
        """Ping until flight answers: a link that is just coming up may lose the first ones."""
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until:
            identity = self.command("core.ping")
            self.listen(0.2)
            if any(one.name == "verification.completed" and one.args["request_id"] == identity for one in self.reports):
                return
        raise AssertionError("no answer to ping")

    def events(self, name: str, since: int = 0) -> list[Report]:
        """All events of that name so far."""
        return [one for one in self.reports[since:] if one.name == "event" and one.args["event"] == name]

    def named(self, name: str, **args: Any) -> list[Report]:
        """All reports of that name with these arguments so far."""
        return [one for one in self.reports if one.name == name and all(one.args.get(key) == args[key] for key in args)]

    def answer(self, query_id: int) -> tuple[str, Mapping[str, Any]]:
        """(text, receipt) of a query: waits for the receipt, joins the segments, asks for what is missing, compares."""
        receipt = self.await_report("inference.receipt", query_id=query_id).args
        until = time.monotonic() + DEADLINE_S
        while True:
            data = self._joined(query_id, receipt)
            if data is not None:
                assert hashlib.sha256(data).digest() == receipt["answer_sha256"]
                return data.decode("utf-8", "replace"), receipt
            assert time.monotonic() < until, f"segments of {query_id:x} stay missing"
            self.command("inference.resend", {"query_id": query_id})
            self.listen(0.3)

    def _joined(self, query_id: int, receipt: Mapping[str, Any]) -> bytes | None:
        assembler = Assembler()
        assembler.expect(receipt["answer_bytes"], receipt["answer_sha256"], attempt=receipt["attempt"])
        for one in self.named("inference.segment", query_id=query_id, kind="answer", attempt=receipt["attempt"]):
            assembler.add(one.args["number"], one.args["data"], one.args["attempt"])
        return assembler.join() if assembler.complete else None
