"""The flight process as a test holds it: started with its own directory and ports, killed for sure at the end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from flight.settings import FlightSettings
from flight.toml import render
from tests.flight.client import DEADLINE_S, Client

PIDS = ("core_pid", "engine_pid", "verifier_pid", "scrubber_pid")
"""The children in `ready.json`."""


def settings_for(data: Path, client: Client, **sections: Mapping[str, Any]) -> FlightSettings:
    """Settings of a flight process on this machine: own directory, free port, quick pings."""
    values: dict[str, dict[str, Any]] = {
        "link": {"bind": "127.0.0.1:0", "peer": client.peer},
        "supervisor": {"ping_s": 0.1, "backoff_s": 0.05},
        "core": {"hk_period_s": 0.5},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return FlightSettings.model_validate({"data": str(data), **values})


class Flight:
    """One `orbitlm flight run` and its children."""

    def __init__(self, settings: FlightSettings, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.settings = settings
        self.data = settings.data_dir
        self._folder = folder
        self._environment = dict(environment or {})
        self.process: subprocess.Popen[str] | None = None
        self._seen: set[int] = set()
        self.out = self.err = ""
        self.cwd: Path | None = None
        self.flags: tuple[str, ...] = ()
        self.words: tuple[str, ...] = ("flight",)

    def start(self, client: Client | None = None) -> Mapping[str, Any]:
        """Start and wait until it is up; returns `ready.json`."""
        self.launch()
        ready = self.await_ready(lambda _: True)
        if client is not None:
            client.flight = (ready["link"]["host"], ready["link"]["port"])
        return ready

    def set_environment(self, **values: str) -> None:
        """Further variables of its environment."""
        self._environment.update(values)

    def launch(self) -> subprocess.Popen[str]:
        """Start without waiting."""
        config = self._folder / "flight.toml"
        config.write_text(render(self.settings, comments=False))
        with contextlib.suppress(FileNotFoundError):
            (self.data / "ready.json").unlink()
        self.process = subprocess.Popen(
            [sys.executable, *self.flags, "-m", *self.words, "run", "--config", str(config)],
            cwd=self.cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self._environment},
        )
        return self.process

    def ready(self) -> Mapping[str, Any] | None:
        """`ready.json`, when it is there."""
        try:
            found: Mapping[str, Any] = json.loads((self.data / "ready.json").read_text())
        except FileNotFoundError:
            return None
        self._seen |= {pid for name in PIDS if (pid := found[name])}
        return found

    def await_ready(self, fits: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """Wait until `ready.json` of the running process fits."""
        assert self.process is not None
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until:
            found = self.ready()
            if found is not None and found["pid"] == self.process.pid and fits(found):
                return found
            if self.process.poll() is not None:
                raise AssertionError(f"flight ended with {self.ended()}: {self.err}")
            time.sleep(0.02)
        raise AssertionError(f"flight was not ready in time; last {self.ready()}; {self.log()[-3000:]}")

    def kill(self, pid_of: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to `pid` (the supervisor), `core_pid` or another child's of `ready.json`; returns the pid."""
        found = self.ready()
        assert found is not None
        pid: int = found[pid_of]
        os.kill(pid, number)
        return pid

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it in order; returns the exit code."""
        assert self.process is not None
        self.ready()
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end; returns the exit code, and `out` and `err` hold what was said."""
        assert self.process is not None
        self.out, self.err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode

    def model(self) -> Path:
        """The model file that it flies with."""
        found = self.ready()
        assert found is not None
        return Path(found["model"])

    def log(self) -> str:
        """The contents of flight.log."""
        path = self.data / "flight.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        self.ready()
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(10)
            if self.process.poll() is None:
                self.process.kill()
            for pipe in (self.process.stdout, self.process.stderr):
                if pipe is not None:
                    pipe.close()
            self.process.wait()
        for pid in self._seen:
            if alive(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process of ours with that id still runs (a zombie does not)."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "flight" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def await_true(what: str, true: Callable[[], bool]) -> None:
    """Wait for a condition as long as the deadline allows."""
    until = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < until, f"waited in vain for: {what}"
        time.sleep(0.02)
