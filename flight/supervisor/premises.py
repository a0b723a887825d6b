"""What must be true before anything is started: the data directory is ours, the address is free, the clock is set."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from flight.errors import AddressTaken, AlreadyRunning, SettingsRefused, StartRefused
from flight.settings import FlightSettings, split_address

LOG_BYTES = 16 << 20
"""A log larger than this at the start becomes `flight.log.1`; one old log is kept."""


def claim(data: Path) -> IO[str]:
    """Make the data directory and hold its lock for the life of the returned file. Raises `StartRefused`."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        (data / "scenes").mkdir(exist_ok=True)
        lock = open(data / "lock", "a+", encoding="ascii")  # noqa: SIM115 - held until the process ends
    except OSError as error:
        raise StartRefused(f"The data directory {data} cannot be used: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read(32).strip() or "unknown"
        lock.close()
        raise AlreadyRunning(
            f"Another flight process (pid {holder}) uses {data}: stop it, or name another directory with --data."
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def in_use(data: Path) -> bool:
    """Whether a flight process holds the lock of that data directory."""
    try:
        with open(data / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def open_log(data: Path) -> IO[bytes]:
    """Open `flight.log` for appending, unbuffered; the children write to it, too."""
    path = data / "flight.log"
    with contextlib.suppress(OSError):
        if path.stat().st_size > LOG_BYTES:
            path.replace(path.with_name("flight.log.1"))
    try:
        return open(path, "ab", buffering=0)
    except OSError as error:
        raise StartRefused(f"The log {path} cannot be written: {error.strerror}.") from error


def bind_link(settings: FlightSettings) -> socket.socket:
    """The UDP socket of the link. The supervisor holds it, so that it stays bound while core restarts."""
    host, port = split_address(settings.link.bind, "link.bind")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except socket.gaierror as error:
        raise SettingsRefused(f"Setting link.bind: the host {host!r} is not known ({error.strerror}).") from error
    sock = socket.socket(family, kind, protocol)
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise AddressTaken(
            f"The link's address {settings.link.bind} (UDP) cannot be used ({error.strerror}): "
            "stop what holds it, or set link.bind to a free one."
        ) from error
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.setblocking(False)
    return sock


def check_peer(settings: FlightSettings, link: socket.socket) -> None:
    """Raise `SettingsRefused` when telemetry has nowhere to go: the link's peer is none that `link` can send to."""
    host, port = split_address(settings.link.peer, "link.peer")
    try:
        socket.getaddrinfo(host, port, link.family, socket.SOCK_DGRAM)
    except socket.gaierror as error:
        raise SettingsRefused(
            f"Setting link.peer: {settings.link.bind} cannot send to the host {host!r} ({error.strerror})."
        ) from error


def listen_for_child() -> tuple[socket.socket, str]:
    """The socket on which core waits for one worker, and its address `@NAME` in the abstract namespace (unix(7))."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind("")  # the kernel picks a free abstract name
    sock.listen(1)
    sock.setblocking(False)
    name: bytes = sock.getsockname()
    return sock, "@" + name[1:].decode("ascii")


def set_clock(settings: FlightSettings) -> FlightSettings:
    """The settings with epoch and origin filled in, so that a restarted core keeps the same mission time."""
    epoch, origin = settings.clock.epoch, settings.clock.origin
    if epoch:
        try:
            datetime.fromisoformat(epoch)
        except ValueError:
            raise SettingsRefused(
                f"Setting clock.epoch: expected a time such as 2026-11-20T12:00:00Z, found {epoch!r}."
            ) from None
    else:
        epoch = datetime.fromtimestamp(time.time(), UTC).isoformat()
    clock = settings.clock.model_copy(update={"epoch": epoch, "origin": time.monotonic() if origin is None else origin})
    return settings.model_copy(update={"clock": clock})
