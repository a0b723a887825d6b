"""A bit is flipped in the code that a child of a flying process runs: it is found, and the child is renewed."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flight.client import Client
from tests.flight.process import Flight, await_true

pytestmark = pytest.mark.slow


def flip_code(pid: int, library: str) -> None:
    """Flip a bit in the middle of a library's code, in this process's memory alone, away from where it runs now."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        words = line.split()
        if len(words) > 5 and words[1] == "r-xp" and library in words[5]:
            start, end = (int(each, 16) for each in words[0].split("-"))
            address = end - 4096 - (end - start) % 4096 // 2
            with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
                byte = os.pread(memory.fileno(), 1, address)
                os.pwrite(memory.fileno(), bytes([byte[0] ^ 8]), address)
            return
    raise AssertionError(f"process {pid} maps no {library}")


def test_damaged_code_is_found_and_its_process_renewed(flight: Callable[..., Flight], client: Client) -> None:
    """One child after the other; nothing is found before, and questions are answered afterwards."""
    process = flight(integrity={"code_bytes_per_s": 1e9})
    process.start(client)
    client.ask(1, "Which vessels are dark?", scene="bay")
    assert client.answer(1)[1]["outcome"] == "done"
    for child in ("engine", "verifier", "scrubber"):
        await_true(f"the code of {child} is looked at", lambda child=child: f"code of {child}: " in process.log())
    assert "code damaged" not in process.log()
    for child in ("engine", "verifier", "scrubber"):
        ready = process.ready()
        assert ready is not None
        pid = ready[f"{child}_pid"]
        flip_code(pid, "libz")
        client.await_event("integrity.code_damaged", pid=pid, child=child, hit="private")
        process.await_ready(lambda now, pid=pid, child=child: now[f"{child}_pid"] not in (None, pid))
    client.ask(2, "Which vessels are dark?", scene="bay")
    assert client.answer(2)[1]["outcome"] == "done"


def test_damaged_code_of_the_supervisor_ends_flight_in_order_and_a_fresh_start_is_sound(
    flight: Callable[..., Flight], client: Client, tmp_path: Path
) -> None:
    """Where systemd starts it anew; the query that was running is answered by the next one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        process = flight(
            environment={"NOTIFY_SOCKET": str(tmp_path / "notify")},
            integrity={"code_bytes_per_s": 1e9},
            engine={"pace_tokens_per_s": 15.0},
        )
        ready = process.start(client)
        await_true("the code of the supervisor is looked at", lambda: "code of supervisor: " in process.log())
        client.await_report("verification.accepted", request_id=client.ask(1, "Which vessels are dark?", scene="bay"))
        flip_code(ready["pid"], "libz")
        client.await_event("integrity.code_damaged", pid=ready["pid"], child="supervisor", hit="private")
        client.await_event("supervisor.shutdown", cause="code of the supervisor damaged")
        assert process.ended() == 0
    heard = len(client.reports)
    process.start(client)
    client.await_event("supervisor.booted", heard, boot=2, cause="shutdown")
    assert client.answer(1)[1]["outcome"] == "done"
    assert not client.events("integrity.reboot_needed")


def test_damaged_code_of_the_supervisor_is_told_where_nobody_starts_it_anew(
    flight: Callable[..., Flight], client: Client
) -> None:
    process = flight(integrity={"code_bytes_per_s": 1e9})
    ready = process.start(client)
    await_true("the code of the supervisor is looked at", lambda: "code of supervisor: " in process.log())
    flip_code(ready["pid"], "libz")
    client.await_event("integrity.reboot_needed")
    client.await_event("supervisor.safe_mode_entered", reason="code_damaged")
    client.await_ping()


def test_switched_off_damaged_code_is_not_found(flight: Callable[..., Flight], client: Client) -> None:
    """By its parameter: an answer later nothing was said, which the test above says within that time."""
    process = flight(integrity={"code_check": False})
    ready = process.start(client)
    flip_code(ready["engine_pid"], "libz")
    client.ask(1, "Which vessels are dark?", scene="bay")
    client.answer(1)
    assert "code of engine" not in process.log()
    ready_now = process.ready()
    assert ready_now is not None
    assert ready_now["engine_pid"] == ready["engine_pid"]
