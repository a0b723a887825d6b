"""Ports that are free now, for a stack of its own."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import ClassVar

from ground.settings import ApiSettings

HOST = "127.0.0.1"
API_PORT = ApiSettings().port
"""Ground's own default, taken by the demo where it is free."""


@dataclass(frozen=True)
class Ports:
    """The four UDP ends of the link, and the TCP port of the API."""

    flight: int
    ground: int
    link_flight: int
    link_ground: int
    api: int

    UDP: ClassVar[tuple[str, ...]] = ("flight", "ground", "link_flight", "link_ground")

    @classmethod
    def free(cls, api: int = 0) -> Ports:
        """Pick ports that are free now; all are held until all are picked, so that none comes twice."""
        with contextlib.ExitStack() as held:
            udp = [held.enter_context(_bound(socket.SOCK_DGRAM, 0)) for _ in range(4)]
            tcp = held.enter_context(_bound(socket.SOCK_STREAM, 0))
            numbers = [each.getsockname()[1] for each in (*udp, tcp)]
        return cls(numbers[0], numbers[1], numbers[2], numbers[3], api or numbers[4])

    def address(self, name: str) -> str:
        """`host:port` of one end."""
        return f"{HOST}:{getattr(self, name)}"

    def link(self) -> dict[str, str]:
        """The `[link]` section of an emulator between the two ends."""
        return {
            "ground_bind": self.address("link_ground"),
            "ground_peer": self.address("ground"),
            "flight_bind": self.address("link_flight"),
            "flight_peer": self.address("flight"),
        }


def _bound(kind: socket.SocketKind, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, kind)
    found.bind((HOST, port))
    return found


def is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """Whether nothing listens on `port` of this machine."""
    try:
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except OSError:
        return False
    return True
