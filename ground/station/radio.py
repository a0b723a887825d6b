"""The UDP socket of the link: one datagram is one CLTU up or one CADU down."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable

from ground.errors import AddressTaken, SettingsRefused
from ground.settings import LinkSettings, split_address

BATCH = 64
"""CADUs decoded together: a batch costs much less than one by one."""
LARGEST = 2048
"""Longer than any CADU; what is longer is cut, and refused by its length."""
RECEIVE_BUFFER = 4 << 20


class Radio:
    """Bound to the link's address. `hear` is called with batches of datagrams, from the event loop."""

    def __init__(self, settings: LinkSettings, hear: Callable[[list[bytes]], None]) -> None:
        self.counters: Counter[str] = Counter()
        self._hear = hear
        self._loop: asyncio.AbstractEventLoop | None = None
        host, port = split_address(settings.bind, "link.bind")
        self._peer = _resolve(*split_address(settings.peer, "link.peer"))
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise AddressTaken(
                f"The link's address {settings.bind} (UDP) cannot be used: {error.strerror or error}; "
                "is another station running? Set [link] bind to a free port."
            ) from error

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) that telemetry must be sent to."""
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen from now on."""
        self._loop = loop
        loop.add_reader(self._socket.fileno(), self._read)

    def send(self, datagram: bytes) -> None:
        """Radiate one CLTU; what the network refuses is counted and lost, as on any radio."""
        try:
            self._socket.sendto(datagram, self._peer)
            self.counters["datagrams_up"] += 1
        except OSError:
            self.counters["send_failures"] += 1

    def _read(self) -> None:
        batch: list[bytes] = []
        while len(batch) < BATCH:
            try:
                datagram, sender = self._socket.recvfrom(LARGEST)
            except BlockingIOError:
                break
            except OSError:
                self.counters["receive_failures"] += 1
                break
            if sender[0] != self._peer[0]:
                self.counters["foreign_datagrams"] += 1
                continue
            batch.append(datagram)
        if batch:
            self.counters["datagrams_down"] += len(batch)
            self._hear(batch)

    def close(self) -> None:
        """Stop listening and free the port."""
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


def _resolve(host: str, port: int) -> tuple[str, int]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4]
    except OSError as error:
        raise SettingsRefused(f"Setting link.peer: the host '{host}' is not known: {error.strerror}.") from error
    return str(found[0]), int(found[1])
