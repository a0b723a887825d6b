"""What flight's systemd unit promises (flight/deploy), for a flight process without systemd: Restart, WatchdogSec.

A supervisor that ends is started again at once; one that has said READY and then feeds no watchdog for too long
(stopped, hung) is killed first, as `WatchdogSec` does it.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Final

WORDS: Final = 256
"""Longest notification, bytes."""


class NotifySocket:
    """The receiving end of sd_notify(3): an abstract socket of its own."""

    def __init__(self, watchdog_s: float) -> None:
        self.watchdog_s = watchdog_s
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(f"\0orbitlm-hil-{os.getpid()}-{id(self):x}")
        self._sock.setblocking(False)
        self._fed: float | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What systemd puts into the environment of the service."""
        name = self._sock.getsockname()
        return {
            "NOTIFY_SOCKET": "@" + bytes(name).lstrip(b"\0").decode(),
            "WATCHDOG_USEC": str(int(self.watchdog_s * 1e6)),
        }

    def begin(self) -> None:
        """The service is being started: nothing is expected of it before READY."""
        self._drain()
        self._fed = None

    def starving(self) -> bool:
        """Whether the service has said READY and then nothing for longer than the watchdog allows."""
        if any("READY=1" in word or "WATCHDOG=1" in word for word in self._drain()):
            self._fed = time.monotonic()
        return self._fed is not None and time.monotonic() - self._fed > self.watchdog_s

    def close(self) -> None:
        """Give the socket back."""
        self._sock.close()

    def _drain(self) -> list[str]:
        words = []
        while True:
            try:
                words.append(self._sock.recv(WORDS).decode(errors="replace"))
            except BlockingIOError:
                return words
