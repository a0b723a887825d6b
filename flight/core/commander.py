"""Telecommand intake and dispatch: decode, check, verify to the sender, hand to whoever carries it out. Sans-I/O.

Nothing that comes up the link can raise here: what is no telecommand is counted by kind, what is a wrong one refused
with a reason. A handler gets the command and `accept`, which it calls once, when its checks have passed and what it
promises is safe; before that it may raise `Refused`, and nothing has happened.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping

from flight.core.moment import Moment
from flight.core.reporter import Reporter
from flight.errors import FlightError
from spacelink import Command, PacketRefused, unpack_command
from spacelink.uplink import UplinkReceiver

LOG = logging.getLogger("flight.core")


class Refused(FlightError):  # noqa: N818 - named as service 1 says it
    """A command is not carried out; `reason` is a name of the dictionary's reason codes."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


Accept = Callable[[], None]
Handler = Callable[[Command, Moment, Accept], bool]
"""Carries a command out; returns whether it is completed now (else the completion is reported later)."""


class Commander:
    """The one place where telecommands come in."""

    def __init__(self, uplink: UplinkReceiver, reporter: Reporter, handlers: Mapping[str, Handler]) -> None:
        self._uplink = uplink
        self._reporter = reporter
        self._handlers = dict(handlers)
        self._bad: Counter[str] = Counter()
        self._baseline: Counter[str] = Counter()
        self.accepted = 0
        self.rejected = 0

    def datagram(self, data: bytes, now: Moment) -> None:
        """Take what came up the link: one CLTU, or anything else."""
        result = self._uplink.receive(data)
        if result.packet is None:
            self._bad_uplink(str(result.rejected), now)
        else:
            self.packet(result.packet, now)

    def packet(self, packet: bytes, now: Moment) -> None:
        """Take one space packet."""
        try:
            command = unpack_command(packet)
        except PacketRefused as refusal:
            if refusal.request_id is None:
                self._bad_uplink(refusal.reason, now)
            else:
                self._refuse(refusal.request_id, refusal.name or "unknown", refusal.reason, refusal.detail, now)
            return
        self._execute(command, now)

    def reset_counters(self) -> None:
        """Count from zero again."""
        self.accepted = self.rejected = 0
        self._bad.clear()
        self._baseline = Counter(self._uplink.counters)

    def link_counters(self) -> dict[str, int]:
        """Counters of the uplink since the reset: `accepted`, `bits_corrected`, `rejected`, `damaged`."""
        seen = Counter(self._uplink.counters)
        seen.subtract(self._baseline)
        return {
            "accepted": seen["accepted"],
            "rejected": seen["cltus"] - seen["accepted"],
            "damaged": seen["bch_uncorrectable"] + seen["frame_crc"],
            "bits_corrected": seen["bits_corrected"],
        }

    def _execute(self, command: Command, now: Moment) -> None:
        LOG.debug("command %s", command.name)
        handler = self._handlers.get(command.name)
        if handler is None:
            self._refuse(command.request_id, command.name, "unknown_command", "no handler on board", now)
            return
        promised = False

        def accept() -> None:
            nonlocal promised
            promised = True
            self.accepted += 1
            self._reporter.accepted(command.request_id, now)

        try:
            completed = handler(command, now, accept)
        except Refused as refusal:
            if promised:
                self._reporter.failed(command.request_id, refusal.reason, refusal.detail, now)
            else:
                self._refuse(command.request_id, command.name, refusal.reason, refusal.detail, now)
            return
        if completed:
            self._reporter.completed(command.request_id, now)

    def _refuse(self, request_id: bytes, name: str, reason: str, detail: str, now: Moment) -> None:
        self.rejected += 1
        self._reporter.rejected(request_id, reason, detail, now)
        self._reporter.event_at_times("core.command_refused", reason, {"command": name, "reason": reason}, now)

    def _bad_uplink(self, kind: str, now: Moment) -> None:
        self._bad[kind] += 1
        self._reporter.event_at_times("core.bad_uplink", kind, {"kind": kind, "count": self._bad[kind]}, now)
