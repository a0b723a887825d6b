"""A worker's socket as core holds it: takes the connection in, passes messages on, and notices the end. I/O only."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flight.core.moment import Moment
from flight.inference.channel import FramedSocket
from flight.inference.errors import PeerClosed, ProtocolError
from flight.inference.protocol import Message

LOG = logging.getLogger("flight.core")
_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


@dataclass(frozen=True)
class Peer:
    """What decides about one kind of worker, sans-I/O: `heard` takes its messages, `lost` the end of its connection.

    What is to go to the worker collects in `requests`, which is emptied in place.
    """

    parse: Callable[[dict[str, Any]], Any]
    heard: Callable[[Any, Moment], None]
    lost: Callable[[Moment], None]
    requests: list[Any] = field(default_factory=list)


class Port:
    """At most one worker of a kind at a time; a new one takes the place of the old."""

    def __init__(self, name: str, listener: socket.socket, peer: Peer) -> None:
        listener.setblocking(False)
        self.name = name
        self.listener = listener
        self.peer = peer
        self.connection: FramedSocket | None = None

    def accept(self) -> bool:
        """Take a connection in; says whether there is a new worker. Others than our own user are turned away."""
        try:
            sock, _ = self.listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return False
        _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid != os.geteuid():
            LOG.warning("a process of user %s wanted to be the %s", uid, self.name)
            sock.close()
            return False
        self.close()
        self.connection = FramedSocket(sock)
        return True

    def receive(self) -> tuple[list[Any], bool]:
        """Return (messages, alive). Words that were not agreed end the connection as its end does."""
        if self.connection is None:
            return [], False
        try:
            return [self.peer.parse(message) for message in self.connection.receive()], True
        except (PeerClosed, ProtocolError) as error:
            LOG.warning("%s: %s", self.name, error)
            self.close()
            return [], False

    def send(self, requests: Sequence[Message]) -> bool:
        """Send requests, and what waits from before; says whether the worker is still there."""
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
        """Let go of the worker."""
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.close()
            self.connection = None
