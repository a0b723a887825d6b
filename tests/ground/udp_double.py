"""The packet-level spacecraft behind real frames and a real UDP socket, in a thread of the test."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from spacelink import DownlinkSender, UplinkReceiver
from tests.ground.double import Spacecraft


class UdpSpacecraft:
    """Answers telecommands at `port`; telemetry goes to whoever sent the last one, or to `ground`."""

    def __init__(self, **craft: Any) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._wake, self._woken = socket.socketpair()
        self.port: int = self._socket.getsockname()[1]
        self._uplink = UplinkReceiver()
        self._downlink = DownlinkSender()
        self._ground: tuple[str, int] | None = None
        self.craft = Spacecraft(lambda vc, packet: self._downlink.push(packet, vc), **craft)
        self._actions: list[Callable[[Spacecraft], None]] = []
        self._stop = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = True
        self._wake.send(b"x")
        self._thread.join()
        for each in (self._socket, self._wake, self._woken):
            each.close()

    def do(self, action: Callable[[Spacecraft], None]) -> None:
        """Run something on the spacecraft, in its thread."""
        self._actions.append(action)
        self._wake.send(b"x")

    def _run(self) -> None:
        while not self._stop:
            pause = min(1.0, max(0.0, self.craft.due - time.time()))
            ready, _, _ = select.select([self._socket, self._woken], [], [], pause)
            if self._socket in ready:
                datagram, self._ground = self._socket.recvfrom(4096)
                result = self._uplink.receive(datagram)
                if result.packet is not None:
                    self.craft.receive(result.packet, time.time())
            if self._woken in ready:
                self._woken.recv(64)
            self.craft.step(time.time())
            while self._actions:
                self._actions.pop(0)(self.craft)
            if self._ground is not None:
                for cadu in self._downlink.frames(self._uplink.clcw(), fill=True, limit=None):
                    self._socket.sendto(cadu, self._ground)
