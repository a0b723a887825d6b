"""A station in this process or in its own, with a packet-level spacecraft behind real frames."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ground.client import GroundClient
from ground.settings import GroundSettings, dump
from tests.ground.udp_double import UdpSpacecraft

PATIENCE_S = 30.0


def until(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Wait for a condition with a generous deadline."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} has not come true")


class StationProcess:
    """`ground serve` in its own process and data directory; ports are picked by the kernel."""

    def __init__(self, folder: Path, peer_port: int, **sections: dict[str, Any]) -> None:
        self.data = folder / "data"
        self.config = folder / "ground.toml"
        told = {
            "data": str(self.data),
            "link": {"bind": "127.0.0.1:0", "peer": f"127.0.0.1:{peer_port}", **sections.pop("link", {})},
            "api": {"port": 0, **sections.pop("api", {})},
            **sections,
        }
        self.config.write_text(dump(GroundSettings.model_validate(told)))
        self.process: subprocess.Popen[str] | None = None

    @property
    def ready(self) -> dict[str, Any]:
        """What ready.json says."""
        told: dict[str, Any] = json.loads((self.data / "ready.json").read_text())
        return told

    def start(self) -> GroundClient:
        """Start and wait until it is ready."""
        (self.data / "ready.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "ground", "serve", "--config", str(self.config)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean_environment())

        def started() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the station ended: {self.process.stderr and self.process.stderr.read()}")
            return (self.data / "ready.json").exists()

        until(started, "the station's start")
        return GroundClient(self.ready["api"])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        if self.process.stderr is not None:
            self.process.stderr.close()
        self.process = None
        return code


def clean_environment() -> dict[str, str]:
    """The environment without settings of a station that the developer may have."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ORBITLM_GROUND_")}


@pytest.fixture
def spacecraft() -> Iterator[UdpSpacecraft]:
    """A spacecraft that answers in a fifth of a second."""
    with UdpSpacecraft() as craft:
        yield craft


@pytest.fixture
def station(tmp_path: Path, spacecraft: UdpSpacecraft) -> Iterator[StationProcess]:
    """A station that is not started yet; ended whatever happens."""
    process = StationProcess(tmp_path, spacecraft.port)
    yield process
    if process.process is not None:
        with contextlib.suppress(ProcessLookupError):
            process.end(signal.SIGKILL)
