"""Flight alone, with the bench as its ground and as its launcher."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from hil.process import ended, wait_for
from hil.spacecraft import Spacecraft
from hil.systemd import NotifySocket
from models import cadet_path

SCENE = "VESSELS\nV42 AIS OFF pos 13.95S 1.23W hdg 351 spd 19.9 len 111"


def say(words: NotifySocket, text: str) -> None:
    """What a service says to the socket in its environment."""
    name = words.environment["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(text.encode(), "\0" + name[1:])


def test_a_service_starves_only_after_it_was_ready() -> None:
    """Before READY nothing is expected; then food in time keeps it, and a silence of WatchdogSec does not."""
    words = NotifySocket(watchdog_s=0.2)
    assert words.environment["WATCHDOG_USEC"] == "200000"
    words.begin()
    assert not words.starving()
    say(words, "READY=1")
    assert not words.starving()
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        say(words, "WATCHDOG=1")
        assert not words.starving()
        time.sleep(0.01)
    wait_for(words.starving, "hunger", 30)
    words.begin()
    assert not words.starving()
    words.close()


@pytest.mark.slow
def test_the_launcher_replaces_what_ends_and_what_starves_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """SIGKILL and SIGSTOP of the supervisor: another one answers; at the end no process and no shared memory stays."""
    with Spacecraft(tmp_path, cadet_path(), scenes={"bay": SCENE}, watchdog_s=2.0) as craft:
        craft.link.idle = lambda: craft.tend() and None
        first = craft.answer("Which vessels are dark?", scene="bay", deadline_s=120)
        for restarts, number in enumerate((signal.SIGKILL, signal.SIGSTOP), 1):
            before = craft.pids()
            os.kill(before["supervisor"], number)
            craft.link.wait("another supervisor", lambda done=restarts: craft.restarts == done, 120)
            craft.link.wait("flight to be whole", lambda old=before: craft.working() >= set(old), 120)
            assert ended(before["supervisor"])
            again = craft.answer("Which vessels are dark?", scene="bay", deadline_s=120)
            assert again["answer_sha256"] == first["answer_sha256"]
        pids, image = craft.pids(), craft.image
        assert image.exists()
    assert all(ended(pid) for pid in pids.values())
    assert not image.parent.exists()
