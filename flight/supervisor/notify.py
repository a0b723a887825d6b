"""The outer watchdog: systemd's notification socket (sd_notify(3)), fed only while every critical child works."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping


class OuterWatchdog:
    """Sends READY, WATCHDOG and STOPPING where NOTIFY_SOCKET is set; does nothing elsewhere."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        address = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        # Half of what systemd allows, as sd_watchdog_enabled(3) recommends.
        usec = env.get("WATCHDOG_USEC", "")
        self.interval_s = int(usec) / 2e6 if usec.isdigit() and int(usec) > 0 else None
        self._next = 0.0
        self.fed = 0
        self.withheld = 0

    def notify(self, text: str) -> None:
        """Send one notification; a missing or full socket is not our problem to crash on."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(), self._address)

    def due(self) -> float | None:
        """When the next feed is due, monotonic; None without a watchdog."""
        return None if self.interval_s is None else self._next

    def tick(self, now: float, working: bool) -> None:
        """Feed when it is time, or withhold: `working` says that every critical child does its work in time."""
        if self.interval_s is None or now < self._next:
            return
        self._next = now + self.interval_s
        if working:
            self.fed += 1
            self.notify("WATCHDOG=1")
        else:
            self.withheld += 1
