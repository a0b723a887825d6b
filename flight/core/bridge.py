"""Commands that the supervisor carries out, and what it tells: core only carries the words. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flight.core.commander import Accept, Handler, Refused
from flight.core.moment import Moment
from flight.core.reporter import Reporter
from flight.core.status import Status
from spacelink import DICTIONARY, Command

FORWARDED = ("enter_safe_mode", "leave_safe_mode", "restart_engine")


class Bridge:
    """Between the link and the supervisor. Messages for the supervisor collect in `outgoing`."""

    def __init__(
        self, reporter: Reporter, on_asked: Callable[[str], None], on_status: Callable[[Status], None]
    ) -> None:
        self._reporter = reporter
        self._on_asked = on_asked
        self._on_status = on_status
        self._asked: dict[int, bytes] = {}
        self._number = 0
        self._status = Status()
        self._heard = 0
        self.outgoing: list[dict[str, Any]] = []

    def handlers(self) -> dict[str, Handler]:
        """The commands that are passed on."""
        return {f"supervisor.{name}": self.forward for name in FORWARDED}

    def forward(self, command: Command, now: Moment, accept: Accept) -> bool:
        """Pass a command on; its completion is reported when the supervisor answers."""
        do = command.name.removeprefix("supervisor.")
        if do == "restart_engine" and self._status.mode == "safe":
            raise Refused("not_in_this_mode", "the engine is off in safe mode")
        accept()
        self._number += 1
        self._asked[self._number] = command.request_id
        self._on_asked(do)
        self.outgoing.append({"do": do, "n": self._number})
        return False

    def wish(self, do: str, **said: str) -> None:
        """Ask the supervisor for something of our own accord."""
        self._number += 1
        self.outgoing.append({"do": do, "n": self._number, **said})

    def message(self, message: Mapping[str, Any], now: Moment) -> None:
        """Take a message of the supervisor."""
        if "status" in message:
            self._status = Status.from_message(message["status"])
            self._on_status(self._status)
        elif "event" in message:
            self._event(message, now)
        elif message.get("done") in self._asked:
            request_id, trouble = self._asked.pop(message["done"]), message["trouble"]
            if trouble:
                self._reporter.failed(request_id, trouble, "", now)
            else:
                self._reporter.completed(request_id, now)

    def _event(self, message: Mapping[str, Any], now: Moment) -> None:
        """An event of the supervisor: sent and kept once, acknowledged each time."""
        if message["n"] > self._heard and message["event"] in DICTIONARY.events:
            self._heard = message["n"]
            self._reporter.event(message["event"], message["args"], now)
        self.outgoing.append({"ack": message["n"]})
