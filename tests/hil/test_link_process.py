"""The link emulator as a process: real sockets, real time, real signals."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.files import read_json, toml_text
from hil.ports import Ports
from hil.process import ManagedProcess, orbitlm, wait_for

SCENARIO = """
name = "short"
title = "A contact of two seconds, after one"
description = "For tests."
epoch = 2026-11-20T12:00:00Z
budget_s = 10.0
[uplink]
rate_bps = 1_000_000
[downlink]
rate_bps = 1_000_000
ber = {ber}
[[contacts]]
start_s = {start}
end_s = 1000.0
slant_range_km = 500.0
"""


class Bench:
    """A link process between two sockets that stand for ground and flight."""

    def __init__(self, folder: Path, *, start: float = 0.0, ber: float = 0.0, origin: float | None = None) -> None:
        ports = Ports.free()
        self.folder = folder
        self.ports = ports
        self.ground, self.flight = self._socket(ports.ground), self._socket(ports.flight)
        (folder / "short.toml").write_text(SCENARIO.format(start=start, ber=ber))
        clock: dict[str, Any] = {"epoch": "2026-11-20T12:00:00Z", "speed": 1.0}
        if origin is not None:
            clock["origin"] = origin
        settings = {
            "data": str(folder),
            "seed": 3,
            "clock": clock,
            "link": ports.link(),
        }
        (folder / "link.toml").write_text(toml_text(settings))
        self.process = self.launch()
        wait_for(lambda: self.report() is not None, "the link", 30, [self.process])

    @staticmethod
    def _socket(port: int) -> socket.socket:
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found.bind(("127.0.0.1", port))
        found.settimeout(20)
        return found

    def launch(self) -> ManagedProcess:
        """Start a link with this configuration."""
        scenario, config = str(self.folder / "short.toml"), str(self.folder / "link.toml")
        return ManagedProcess(
            "link", orbitlm("hil", "link", "--scenario", scenario, "--config", config), self.folder / "link.log"
        )

    def report(self) -> Any:
        """What link.json says."""
        return read_json(self.folder / "link.json")

    def close(self) -> None:
        """End the process and free the sockets."""
        self.process.stop()
        self.ground.close()
        self.flight.close()


@pytest.fixture(name="bench")
def _bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, ber=1e-3)
    yield bench
    bench.close()


@pytest.mark.slow
def test_datagrams_pass_both_ways_and_the_last_report_has_them_all(bench: Bench) -> None:
    """Up without errors, down with the scenario's; SIGTERM ends it with exit code 0 and a last link.json."""
    up = [bytes([n]) * 200 for n in range(20)]
    for frame in up:
        bench.ground.sendto(frame, ("127.0.0.1", bench.ports.link_ground))
    assert [bench.flight.recv(2000) for _ in up] == up
    for _ in range(20):
        bench.flight.sendto(bytes(1279), ("127.0.0.1", bench.ports.link_flight))
    down = [bench.ground.recv(2000) for _ in range(20)]
    assert {len(frame) for frame in down} == {1279}
    bench.process.terminate()
    assert bench.process.popen.wait(20) == 0
    report = bench.report()
    assert report["in_contact"] is True
    assert report["up"]["delivered"] == report["down"]["delivered"] == 20
    assert report["up"]["corrupted"] == 0
    flipped = sum(int.from_bytes(frame, "big").bit_count() for frame in down)
    assert report["down"]["bits_flipped"] == flipped > 0


@pytest.mark.slow
def test_nothing_passes_before_aos(tmp_path: Path) -> None:
    """Frames offered half a minute before AOS never arrive, and are counted."""
    bench = Bench(tmp_path, start=600.0, origin=time.monotonic())
    try:
        for _ in range(5):
            bench.ground.sendto(b"hello", ("127.0.0.1", bench.ports.link_ground))
        wait_for(lambda: bench.report()["up"]["no_contact"] == 5, "five frames out of contact", 20, [bench.process])
        assert bench.report()["in_contact"] is False
        assert 0 < bench.report()["aos_in_s"] < 600
        bench.flight.setblocking(False)
        with pytest.raises(BlockingIOError):
            bench.flight.recv(2000)
    finally:
        bench.close()


@pytest.mark.slow
def test_a_taken_port_is_said_in_one_sentence(bench: Bench) -> None:
    """A second link on the same addresses ends with exit code 1 and names the address."""
    second = bench.launch()
    assert second.popen.wait(30) == 1
    assert f"the link cannot listen on {bench.ports.address('link_ground')}" in second.tail()
    assert "Traceback" not in second.tail()
    bench.process.check()
