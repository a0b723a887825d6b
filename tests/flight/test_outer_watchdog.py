"""The outer watchdog is fed while every critical child works, and starves as soon as one does not."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flight.client import DEADLINE_S, Client
from tests.flight.process import Flight, await_true

pytestmark = pytest.mark.slow

INTERVAL_S = 0.05


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, folder: Path) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = folder / "notify"
        self._sock.bind(str(path))
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(int(2e6 * INTERVAL_S))}

    def next(self, timeout_s: float) -> str | None:
        """The next word, None when none comes in time."""
        self._sock.settimeout(timeout_s)
        try:
            return self._sock.recv(256).decode()
        except TimeoutError:
            return None

    def await_word(self, word: str) -> None:
        """Wait for a word."""
        until = time.monotonic() + DEADLINE_S
        while self.next(max(0.001, until - time.monotonic())) != word:
            assert time.monotonic() < until, f"{word} never came"

    def drain(self) -> None:
        """Forget what is there."""
        while self.next(0.001) is not None:
            pass

    def starves(self) -> bool:
        """Whether no food comes for the time of twenty meals."""
        return self.next(20 * INTERVAL_S) is None

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    one = Systemd(tmp_path)
    yield one
    one.close()


@pytest.mark.parametrize("child", ["core", "engine", "verifier", "scrubber"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_watchdog_starves_without_a_critical_child(
    flight: Callable[..., Flight], client: Client, systemd: Systemd, child: str, number: int
) -> None:
    """While a child is dead or stopped nothing feeds the outer watchdog; before, it was fed."""
    process = flight(
        environment=systemd.environment,
        # The restart comes so late that the whole hunger lies before it.
        supervisor={"ping_s": 0.05, "answer_s": 2.5, "backoff_s": 3600.0, "backoff_max_s": 3600.0},
    )
    process.start(client)
    systemd.await_word("READY=1")
    systemd.await_word("WATCHDOG=1")
    systemd.await_word("WATCHDOG=1")
    process.await_ready(lambda now: child in now["working"])  # while it loads, its limits are those of loading
    pid = process.kill(f"{child}_pid", number)
    ready = process.await_ready(lambda now: now[f"{child}_pid"] is None)
    assert ready["mode"] == "normal"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    systemd.drain()
    assert systemd.starves()
    process.stop()
    systemd.await_word("STOPPING=1")


def test_watchdog_is_fed_in_safe_mode(flight: Callable[..., Flight], client: Client, systemd: Systemd) -> None:
    """In safe mode the engine is off on purpose: the outer watchdog goes on being fed for core alone."""
    process = flight(environment=systemd.environment)
    process.start(client)
    client.await_report("verification.completed", request_id=client.command("supervisor.enter_safe_mode"))
    process.await_ready(lambda now: now["mode"] == "safe" and now["engine_pid"] is None)
    systemd.drain()
    systemd.await_word("WATCHDOG=1")
    systemd.await_word("WATCHDOG=1")


def test_the_boards_own_watchdog_starves_with_a_stopped_child(
    flight: Callable[..., Flight], client: Client, tmp_path: Path
) -> None:
    """Fed from the start, withheld while the scrubber is stopped, and put to rest at an orderly end."""
    device = tmp_path / "watchdog"
    os.mkfifo(device)
    reader = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
    process = flight(
        supervisor={
            "ping_s": 0.05,
            "answer_s": 2.5,
            "backoff_s": 3600.0,
            "backoff_max_s": 3600.0,
            "watchdog_device": str(device),
            "watchdog_s": 1.0,
        },
    )
    process.start(client)
    await_true("a meal", lambda: b"\0" in eaten(reader))
    process.await_ready(lambda now: "scrubber" in now["working"])
    process.kill("scrubber_pid", signal.SIGSTOP)
    process.await_ready(lambda now: now["scrubber_pid"] is None)
    eaten(reader)
    time.sleep(2.0)  # twice the time after which the board would be reset
    assert eaten(reader) == b""
    process.stop()
    await_true("the magic close", lambda: eaten(reader).endswith(b"V"))
    os.close(reader)


def eaten(reader: int) -> bytes:
    """What came since the last look."""
    try:
        return os.read(reader, 4096)
    except BlockingIOError:
        return b""
