"""The engine's socket as core holds it: takes the connection in, passes messages on, and notices the end. I/O only."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
from collections.abc import Sequence

from flight.inference.channel import FramedSocket
from flight.inference.errors import PeerClosed, ProtocolError
from flight.inference.protocol import Indication, Request, parse_indication

LOG = logging.getLogger("flight.core")
_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


class EnginePort:
    """At most one engine at a time; a new one takes the place of the old."""

    def __init__(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self.listener = listener
        self.connection: FramedSocket | None = None

    def accept(self) -> bool:
        """Take a connection in; says whether there is a new engine. Others than our own user are turned away."""
        try:
            sock, _ = self.listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return False
        _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid != os.geteuid():
            LOG.warning("a process of user %s wanted to be the engine", uid)
            sock.close()
            return False
        self.close()
        self.connection = FramedSocket(sock)
        return True

    def receive(self) -> tuple[list[Indication], bool]:
        """Return (indications, alive). Words that were not agreed end the connection as its end does."""
        if self.connection is None:
            return [], False
        try:
            return [parse_indication(message) for message in self.connection.receive()], True
        except (PeerClosed, ProtocolError) as error:
            LOG.warning("engine: %s", error)
            self.close()
            return [], False

    def send(self, requests: Sequence[Request]) -> bool:
        """Send requests, and what waits from before; says whether the engine is still there."""
        if self.connection is None:
            return False
        try:
            for request in requests:
                self.connection.send(request)
            self.connection.flush()
        except PeerClosed:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Let go of the engine."""
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.close()
            self.connection = None
