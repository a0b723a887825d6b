"""The control channel between the supervisor and a child: JSON lines over an inherited socketpair (contract §4).

Never blocking: a peer that does not read (stopped, hung) must not stop the other side. What a full buffer refuses is
counted as dropped, which is right for pings and beats, since the next one says the same.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
from typing import Any

MAX_LINE_BYTES = 1 << 16
"""A longer line is not ours: the peer is out of its mind, and the channel counts as closed."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_PTRACER = 0x59616D61  # linux/prctl.h: "Yama"


class ControlChannel:
    """One end of the control channel."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self.closed = False
        self.dropped = 0

    @classmethod
    def from_fd(cls, fd: int) -> ControlChannel:
        """The child's end, from the `--control-fd` argument."""
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: dict[str, Any]) -> bool:
        """Send one message; says whether it was taken. A message is never cut: it goes whole or is dropped."""
        self.flush()
        if self.closed or len(self._outgoing) > MAX_LINE_BYTES:
            self.dropped += 1
            return False
        self._outgoing += json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"
        self.flush()
        return not self.closed

    def flush(self) -> None:
        """Send what waits, as far as the kernel takes it."""
        while self._outgoing and not self.closed:
            try:
                sent = self._sock.send(self._outgoing, socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.closed = True
                return
            del self._outgoing[:sent]

    def receive(self) -> list[dict[str, Any]]:
        """The whole messages that are there now; afterwards `closed` says whether the peer is gone."""
        while not self.closed:
            try:
                data = self._sock.recv(1 << 16)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                data = b""
            if not data:
                self.closed = True
                break
            self._incoming += data
            if len(self._incoming) > 16 * MAX_LINE_BYTES:
                self.closed = True
        *lines, rest = bytes(self._incoming).split(b"\n")
        self._incoming = bytearray(rest)
        if len(rest) > MAX_LINE_BYTES:
            self.closed = True
        return [message for line in lines if (message := _parse(line)) is not None]

    def close(self) -> None:
        self.closed = True
        self._sock.close()


def _parse(line: bytes) -> dict[str, Any] | None:
    """A message, or None for a line that is none: a damaged child must not take the supervisor with it."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def die_with_parent(parent_pid: int) -> bool:
    """Ask the kernel to SIGKILL this process when its parent ends; says whether the parent is still there.

    Covers what EOF on the control channel cannot: a child stopped, or deep in a computation, when the supervisor is
    killed. False: the parent ended before the kernel was asked, so the caller must leave.

    The parent and what it starts may read our memory from here on: the scrubber compares our code with its files. Where
    the kernel has no Yama, this is refused and not needed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_PTRACER, ctypes.c_ulong(parent_pid), 0, 0, 0)
    return os.getppid() == parent_pid


def let_trace() -> None:
    """Let any process of this user trace this one, where Yama would allow only its ancestors (prctl(2)).

    Only where `faults.allowed` is set: what may trace may change everything.
    """
    everyone = ctypes.c_ulong(-1)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PTRACER, everyone, 0, 0, 0)  # without Yama nothing is in the way
