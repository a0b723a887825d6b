"""Flight, link and ground as real processes, started together and ended together: for the demo, the benchmarks and
the tests.

    with Stack(load_scenario("quiet"), Path("out/run")) as stack:
        httpx.post(f"{stack.api}/api/queries", json={"question": "…"})

Everything lies under one folder: `flight.toml`, `link.toml`, `ground.toml`, `plan.json`, one log and one data folder
for each.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from flight.supervisor.premises import in_use
from hil.errors import StackError
from hil.files import free_memory, read_json, toml_text, write_whole
from hil.plan import contact_plan
from hil.ports import Ports
from hil.process import ManagedProcess, orbitlm, wait_for
from hil.scenario import Scenario, SceneModel
from spacelink.clock import MissionClock

log = logging.getLogger(__name__)

MARK = ".orbitlm-run"
"""Says that a folder was made by a stack, so that the next one may clear it."""
START_S = 90.0
"""Longest time for a process to become ready (loading a large model from a cold disk)."""
ENDING_S = 15.0
"""Longest time for the processes of a run that was killed to end: flight's `grace_s` and room to spare."""
LEAD_S = 6.0
"""Real seconds between the start and the epoch where a scenario's clock matters (its first contact comes later)."""

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Settings = dict[str, Any]


class Stack:
    """The three processes of one scenario. Use it as a context manager; every way out ends them.

    `flight` and `ground` overlay the settings that the stack writes (sections as in their files). With `link=False`
    they talk to each other directly.
    """

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        *,
        seed: int = 1,
        speed: float | None = None,
        model: Path | None = None,
        api_port: int = 0,
        link: bool = True,
        flight: Settings | None = None,
        ground: Settings | None = None,
    ) -> None:
        self.scenario = scenario
        self.folder = folder.absolute()
        self.seed = seed
        self.speed = scenario.speed if speed is None else speed
        self.ports = Ports.free(api_port)
        self.model = model
        self.with_link = link
        self.flight_settings = flight or {}
        self.ground_settings = ground or {}
        self.clock = MissionClock(epoch=scenario.epoch_s, speed=self.speed, origin=time.monotonic())
        self.processes: dict[str, ManagedProcess] = {}
        self.stopped: dict[str, ManagedProcess] = {}
        """The processes of the life before, for their logs."""
        self.api = ""

    # Life.

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None and hasattr(error, "add_note"):
            for process in self.stopped.values():
                error.add_note(f"--- {process.log} ends ---\n{process.tail()}")

    def start(self) -> None:
        """Write the configurations, start the processes and wait until all are ready.

        Where the clock matters the epoch lies a little ahead; a machine too busy to be ready by then gets twice the
        time.
        """
        lead = LEAD_S if self.scenario.waits else 0.0
        self._start(lead)
        while self.scenario.waits and self.now() > 0:
            log.warning("ready %.1f s too late for the scenario: starting again", self.now() / self.speed)
            self.stop()
            lead *= 2
            self._start(lead)

    def _start(self, lead: float) -> None:
        self._clear()
        self.clock = MissionClock(self.scenario.epoch_s, self.speed, time.monotonic() + lead)
        self._write_configurations()
        for scene in self.scenario.scenes:
            if scene.at_s <= 0:
                self.drop_scene(scene)
        if self.with_link:
            self.launch("link")
        self.launch("flight")
        self.launch("ground")
        self.wait_ready()

    def launch(self, name: str) -> ManagedProcess:
        """Start (again) one of flight, link and ground with its configuration."""
        config = str(self.folder / f"{name}.toml")
        arguments = {
            "flight": ["flight", "run", "--config", config],
            "link": ["hil", "link", "--scenario", str(self.folder / "scenario.toml"), "--config", config],
            "ground": ["ground", "serve", "--config", config],
        }[name]
        # The files that lie beside the logs are the whole truth: settings in our environment are not for these
        # processes.
        bare = {key: value for key, value in os.environ.items() if not key.startswith("ORBITLM_")}
        process = ManagedProcess(name, orbitlm(*arguments), self.folder / f"{name}.log", bare)
        self.processes[name] = process
        return process

    def wait_ready(self, deadline_s: float = START_S) -> None:
        """Wait until link, flight (engine loaded) and ground say that they are ready."""
        running = list(self.processes.values())
        if self.with_link:
            wait_for(lambda: self.link_report() is not None, "the link", deadline_s, running)
        wait_for(lambda: self._flight_is_up(), "flight to be ready", deadline_s, running)
        wait_for(lambda: self._ground_is_up(), "ground to be ready", deadline_s, running)

    def stop(self) -> None:
        """End all processes, newest first, and free what a killed flight process left in shared memory."""
        with uninterrupted():
            ordered = list(self.processes.values())[::-1]
            for process in ordered:
                process.terminate()
            for process in ordered:
                process.stop()
            free_memory(self.folder / "flight")
            self.stopped, self.processes = self.processes, {}

    def refly(self, settings: Settings | None = None) -> None:
        """End flight in order and start it again, with `settings` over those of this stack; link and ground stay."""
        self.processes.pop("flight").stop()
        write_whole(self.folder / "flight.toml", toml_text(merged(self._flight_configuration(), settings or {})))
        self.launch("flight")
        self.wait_ready()

    # What is known.

    def flight_ready(self) -> dict[str, Any] | None:
        """Flight's ready.json, or None before it is written."""
        return self._ready("flight", "ready.json")

    def ground_ready(self) -> dict[str, Any] | None:
        """Ground's ready.json, or None before it is written."""
        return self._ready("ground", "ready.json")

    def link_report(self) -> dict[str, Any] | None:
        """The link's counters as last written, or None before that or without a link."""
        return self._ready("link", "link.json")

    def now(self) -> float:
        """Mission seconds after the scenario's epoch."""
        return self.clock.at(time.monotonic()) - self.scenario.epoch_s

    def wait_mission(self, at_s: float) -> None:
        """Wait until mission time is `at_s` after the epoch; StackError if a process ends meanwhile."""
        while (left := (at_s - self.now()) / self.speed) > 0:
            self.check()
            time.sleep(min(left, 0.1))

    def check(self) -> None:
        """Raise StackError, with its log, if a process has ended."""
        for process in self.processes.values():
            process.check()

    def pids(self) -> dict[str, int]:
        """Process ids by name, with flight's children."""
        found = {name: process.pid for name, process in self.processes.items()}
        ready = self.flight_ready() or {}
        children = {name.removesuffix("_pid"): pid for name, pid in ready.items() if name.endswith("_pid")}
        return found | {name: pid for name, pid in children.items() if isinstance(pid, int)}

    # What can be done.

    def drop_scene(self, scene: SceneModel) -> None:
        """Put a scene into flight's folder as a payload would: whole, then renamed."""
        write_whole(self.folder / "flight" / "scenes" / f"{scene.name}.txt", scene.file_text)

    # Inside.

    def _ready(self, name: str, file: str) -> dict[str, Any] | None:
        found = read_json(self.folder / name / file)
        process = self.processes.get(name)
        # A file that an earlier process of this name left says nothing about this one.
        return found if isinstance(found, dict) and process and found.get("pid") == process.pid else None

    def _flight_is_up(self) -> bool:
        ready = self.flight_ready()
        return ready is not None and bool(ready.get("image"))

    def _ground_is_up(self) -> bool:
        ready = self.ground_ready()
        if ready is None or not ready.get("api"):
            return False
        self.api = str(ready["api"]).rstrip("/")
        return True

    def _clear(self) -> None:
        if self.folder.exists():
            if any(self.folder.iterdir()) and not (self.folder / MARK).exists():
                raise StackError(f"{self.folder} holds files that no stack has made: name another folder, or empty it")
            for name in ("flight", "ground"):
                # After a SIGKILL of the bench its processes need a moment to end; flight frees its shared memory by
                # the name of its folder, and must not meet the image of the next one there.
                what = f"the end of the {name} process that still works in {self.folder / name}"
                wait_for(partial(self._is_left, self.folder / name), what, ENDING_S)
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        (self.folder / MARK).touch()

    @staticmethod
    def _is_left(data: Path) -> bool:
        return not in_use(data)

    def _flight_configuration(self) -> Settings:
        ports, scenario = self.ports, self.scenario
        flight: Settings = {
            "data": str(self.folder / "flight"),
            "clock": self._clock_settings(),
            "link": {
                "bind": ports.address("flight"),
                "peer": ports.address("link_flight" if self.with_link else "ground"),
                "downlink_bps": scenario.downlink.rate_bps,
            },
        }
        if self.model is not None:
            flight["model"] = {"path": str(self.model.absolute())}
        if scenario.engine.pace_tokens_per_s:
            # A scenario counts in mission time, flight in its own seconds.
            flight["engine"] = {"pace_tokens_per_s": scenario.engine.pace_tokens_per_s * self.speed}
        return merged(flight, self.flight_settings)

    def _clock_settings(self) -> Settings:
        return {"epoch": self.scenario.epoch_iso, "speed": self.speed, "origin": self.clock.origin}

    def _write_configurations(self) -> None:
        ports, scenario, clock = self.ports, self.scenario, self._clock_settings()
        ground = {
            "data": str(self.folder / "ground"),
            "clock": clock,
            "link": {
                "bind": ports.address("ground"),
                "peer": ports.address("link_ground" if self.with_link else "flight"),
                "contact_plan": str(self.folder / "plan.json") if self.with_link else "",
                "uplink_bps": scenario.uplink.rate_bps,
                "receipt_key": str(self.folder / "flight" / "receipt.pub"),
            },
            "api": {"host": "127.0.0.1", "port": ports.api},
        }
        link = {
            "data": str(self.folder / "link"),
            "seed": self.seed,
            "clock": clock,
            "link": ports.link(),
        }
        write_whole(self.folder / "scenario.toml", scenario.source)
        write_whole(self.folder / "plan.json", contact_plan(scenario, scenario.epoch_s).dump())
        write_whole(self.folder / "flight.toml", toml_text(self._flight_configuration()))
        write_whole(self.folder / "ground.toml", toml_text(merged(ground, self.ground_settings)))
        write_whole(self.folder / "link.toml", toml_text(link))


def merged(low: Settings, high: Settings) -> Settings:
    """Return `low` overlaid with `high`, section by section."""
    result = dict(low)
    for name, value in high.items():
        below = result.get(name)
        result[name] = merged(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return result


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a clean-up finish although Ctrl-C is pressed again (in the main thread; others get no signals)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end this process as Ctrl-C does, through every `finally`."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in ENDING_SIGNALS[1:]}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
