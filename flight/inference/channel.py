"""The core socket: whole messages in and out, never blocking on a peer that does not read."""

from __future__ import annotations

import select
import socket
from typing import Any, Final

from flight.inference.errors import PeerClosed
from flight.inference.protocol import Message, MessageDecoder, encode

_CHUNK: Final = 1 << 16
_CONNECT_S: Final = 10.0


def connect(address: str, timeout_s: float) -> socket.socket:
    """A connected stream socket to `address`: a path, or `@name` for Linux's abstract namespace."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        sock.close()
        raise
    return sock


def core_socket(address: str | None, fd: int | None) -> socket.socket:
    """A child's socket to core: the inherited `fd`, else a connection to `address`. Raises OSError."""
    return socket.socket(fileno=fd) if fd is not None else connect(address or "", _CONNECT_S)


class FramedSocket:
    """Messages over a connected stream socket. What the peer does not take yet waits in memory, in order."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._decoder = MessageDecoder()
        self._outgoing = bytearray()

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def waiting(self) -> int:
        """Bytes accepted by `send` and not yet taken by the kernel."""
        return len(self._outgoing)

    def send(self, message: Message) -> None:
        """Send as much as goes now, keep the rest. Raises `PeerClosed`."""
        self._outgoing += encode(message)
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the kernel takes it. Raises `PeerClosed`."""
        while self._outgoing:
            try:
                sent = self._sock.send(memoryview(self._outgoing)[:_CHUNK])
            except BlockingIOError:
                return
            except OSError as error:
                raise PeerClosed(f"the core socket is closed: {error.strerror}") from error
            del self._outgoing[:sent]

    def drain(self, timeout_s: float) -> bool:
        """Flush, waiting for the peer at most `timeout_s`; says whether nothing waits any more."""
        self.flush()
        while self._outgoing and select.select([], [self._sock], [], timeout_s)[1]:
            self.flush()
        return not self._outgoing

    def receive(self) -> list[dict[str, Any]]:
        """The whole messages that are there now, without waiting. Raises `PeerClosed` on EOF, `ProtocolError`."""
        messages: list[dict[str, Any]] = []
        while True:
            try:
                data = self._sock.recv(_CHUNK)
            except BlockingIOError:
                return messages
            except OSError as error:
                raise PeerClosed(f"the core socket is closed: {error.strerror}") from error
            if not data:
                raise PeerClosed("the core socket is at its end")
            messages += self._decoder.feed(data)
            if len(data) < _CHUNK:
                return messages

    def close(self) -> None:
        self._sock.close()
