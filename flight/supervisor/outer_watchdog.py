"""The outer watchdogs: systemd's and the board's own, fed only while every critical child works.

Whoever stands outside resets what this process cannot: itself, and a kernel or board that hangs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

AGAIN_S = 0.1
"""After a meal that was withheld: how soon to look again, s. The meal is overdue, and one short loss is no hang."""

_WDIOC_KEEPALIVE = 0x80045705  # linux/watchdog.h: _IOR('W', 5, int)
_WDIOC_SETTIMEOUT = 0xC0045706  # linux/watchdog.h: _IOWR('W', 6, int)
_MAGIC_CLOSE = b"V"
"""Written last, it tells the driver that the end is meant (Documentation/watchdog/watchdog-api.rst)."""


class Dog(Protocol):
    """One watchdog outside of flight. `early`: it counts before flight is up. `revives`: it starts flight anew."""

    early: bool
    revives: bool

    @property
    def interval_s(self) -> float | None:
        """Time between two meals, s; None: it does not eat."""

    def feed(self) -> None: ...

    def ready(self) -> None:
        """Flight is up."""

    def stopping(self) -> None:
        """Flight ends because it was told to."""


class Systemd:
    """sd_notify(3): NOTIFY_SOCKET and WATCHDOG_USEC of the unit; without them it does nothing."""

    early = False  # before READY=1 systemd waits by TimeoutStartSec

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        address = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        # Half of what systemd allows, as sd_watchdog_enabled(3) recommends.
        usec = env.get("WATCHDOG_USEC", "")
        self._interval_s = int(usec) / 2e6 if usec.isdigit() and int(usec) > 0 else None
        self.revives = bool(address)  # Restart=always of the unit

    @property
    def interval_s(self) -> float | None:
        """Half of WATCHDOG_USEC."""
        return self._interval_s

    def feed(self) -> None:
        self._notify("WATCHDOG=1")

    def ready(self) -> None:
        self._notify("READY=1")

    def stopping(self) -> None:
        self._notify("STOPPING=1")

    def _notify(self, text: str) -> None:
        """Send one notification; a missing or full socket is not our problem to crash on."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(), self._address)


class Device:
    """The board's own watchdog, `/dev/watchdog`: opening starts it, and only the magic close lets it rest.

    A supervisor that is killed leaves it counting: the next one opens it again in time, or the board is reset.
    """

    early = True
    revives = False  # it rests after an orderly end

    def __init__(self, path: Path, timeout_s: float) -> None:
        """Open and set the timeout, as near as the driver allows. Raises OSError."""
        self._fd: int | None = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self.timeout_s = float(max(1, round(timeout_s)))
        with contextlib.suppress(OSError):  # a driver without a settable timeout keeps its own
            answer = fcntl.ioctl(self._fd, _WDIOC_SETTIMEOUT, struct.pack("i", int(self.timeout_s)))
            (seconds,) = struct.unpack("i", answer)
            self.timeout_s = float(seconds)

    @property
    def interval_s(self) -> float | None:
        """A third of the timeout: a meal may be late once."""
        return self.timeout_s / 3

    def feed(self) -> None:
        if self._fd is None:
            return
        try:
            fcntl.ioctl(self._fd, _WDIOC_KEEPALIVE, struct.pack("i", 0))
        except OSError:
            with contextlib.suppress(OSError):  # any byte but the magic one feeds drivers that lack the call
                os.write(self._fd, b"\0")

    def ready(self) -> None:
        """It has been counting since it was opened."""

    def stopping(self) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, _MAGIC_CLOSE)
            os.close(self._fd)
            self._fd = None


class OuterWatchdog:
    """All dogs there are. `fed` counts meals, `withheld` the times that one was due and not given."""

    def __init__(self, dogs: Sequence[Dog]) -> None:
        self._dogs = list(dogs)
        self._next = [0.0 for _ in self._dogs]
        self._up = False
        self.fed = 0
        self.withheld = 0

    def add(self, dog: Dog) -> None:
        """One more."""
        self._dogs.append(dog)
        self._next.append(0.0)

    @property
    def revives(self) -> bool:
        """Whether somebody outside starts flight anew when it ends in order."""
        return any(dog.revives for dog in self._dogs)

    def ready(self) -> None:
        """Flight is up."""
        self._up = True
        for dog in self._dogs:
            dog.ready()

    def stopping(self) -> None:
        """Flight ends in order."""
        for dog in self._dogs:
            dog.stopping()

    def due(self) -> float | None:
        """When to look next whether to feed, monotonic; None when nobody eats."""
        return min((at for dog, at in zip(self._dogs, self._next, strict=True) if self._eats(dog)), default=None)

    def tick(self, now: float, working: bool) -> None:
        """Feed whom it is time to feed, or withhold: `working` says that every critical child does its work in time."""
        for number, dog in enumerate(self._dogs):
            if not self._eats(dog) or now < self._next[number]:
                continue
            interval = dog.interval_s or 0.0
            if working:
                self._next[number] = now + interval
                self.fed += 1
                dog.feed()
            else:
                self._next[number] = now + min(AGAIN_S, interval / 10)
                self.withheld += 1

    def _eats(self, dog: Dog) -> bool:
        return dog.interval_s is not None and (self._up or dog.early)
