"""The supervisor's own loop over processes that do nothing but live: the test makes its turns, and speaks for core."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flight.settings import FlightSettings
from flight.supervisor import state
from flight.supervisor.child import Child
from flight.supervisor.crew import Crew
from flight.supervisor.image import Image
from flight.supervisor.outer_watchdog import OuterWatchdog, Systemd
from flight.supervisor.premises import open_log
from flight.supervisor.publisher import Publisher
from flight.supervisor.record import Record
from flight.supervisor.supervisor import Supervisor
from flight.supervisor.watch import Watch

STAND_IN = "tests.flight.supervisor.stand_in"
DEADLINE_S = 60.0


class _Told(Record):
    """Its events are listed for the test, too."""

    def __init__(self, data: Path, events: list[tuple[str, dict[str, Any]]]) -> None:
        super().__init__(data)
        self._events = events

    def event(self, name: str, args: dict[str, Any]) -> None:
        self._events.append((name, args))
        super().event(name, args)


class Bench(Supervisor):
    """A supervisor that has started everything; `events` are those that it told, as (name, arguments)."""

    def __init__(self, data: Path, stack: contextlib.ExitStack, **own: Any) -> None:
        data.mkdir(exist_ok=True)
        settings = {"ping_s": 0.05, "backoff_s": 0.02, **own}
        super().__init__(FlightSettings.model_validate({"data": str(data), "supervisor": settings}), lambda _text: None)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._watchdog = OuterWatchdog([Systemd({})])
        self._log = stack.enter_context(open_log(data))
        link = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._link_address = ("127.0.0.1", 0)
        self._publisher = Publisher(self._settings, self._link_address)
        self._image = Image(self._settings)
        self._record = _Told(data, self.events)
        self._record.begin()
        self._crew = Crew(self._settings, self._image, link.fileno(), stack)
        self._core = self._crew.core
        for child in self._crew:
            child._module, child._arguments = STAND_IN, tuple
            child.start_at = time.monotonic()
        stack.push(self._end)
        for end in (self._wake_r, self._wake_w):
            stack.enter_context(end).setblocking(False)
        self._watch = Watch(self._crew, self._log, self._wake_r, self._settings.supervisor.ping_s, self._record.event)
        stack.callback(self._watch._selector.close)
        self.until(self.all_there)

    # ---- what happens to it -----------------------------------------

    def until(self, true: Callable[[], bool]) -> None:
        """Make turns until a condition is true."""
        deadline = time.monotonic() + DEADLINE_S
        while not true():
            assert time.monotonic() < deadline, f"waited in vain; events: {self.events}"
            self._turn()

    def lose(self, child: Child, leave: int | None = None) -> None:
        """Have a child end, by itself with a status or by SIGKILL, and make turns until the loss was taken."""
        lost = child.lost
        if leave is None:
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
        else:
            child.send({"leave": leave})
        self.until(lambda: child.lost > lost)

    def core_says(self, do: str, **said: str) -> None:
        """A wish or command, as core sends it."""
        self._heard(self._core, {"do": do, "n": 1, **said}, time.monotonic())

    # ---- what is seen -----------------------------------------------

    @property
    def core(self) -> Child:
        return self._core

    @property
    def engine(self) -> Child:
        return self._crew.engine

    @property
    def workers(self) -> tuple[Child, ...]:
        return self._crew.workers

    @property
    def mode(self) -> str:
        return self._record.state.mode

    @property
    def state(self) -> state.SupervisorState:
        return self._record.state

    @property
    def stopping(self) -> str:
        return self._stopping

    def all_there(self) -> bool:
        """Whether every child works."""
        return all(child.proven and child.alive for child in self._crew)

    def told(self, name: str) -> list[dict[str, Any]]:
        """The arguments of all events of a name."""
        return [args for event, args in self.events if event == name]
