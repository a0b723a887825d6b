"""The watch over the children: starts them when it is time, hears and pings them, kills the silent, takes the dead."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from typing import IO, Any

from flight.control import ControlChannel
from flight.supervisor.child import Child
from flight.supervisor.crew import Crew
from flight.supervisor.log import LOG

ABSENCE_S = 0.05
"""A turn that took so much longer than planned means that the supervisor itself was stopped or starved."""

ENDING_S = 1.0
"""A child that has closed its control channel ends within this time, or is ended."""

HUNG = "hung"


Event = Callable[[str, dict[str, Any]], None]


class Watch:
    """Owns the selector. `heard` gets each message of a child, `lost` each child that has ended."""

    def __init__(self, crew: Crew, log: IO[bytes], wake: socket.socket, ping_s: float, event: Event) -> None:
        self._crew = crew
        self._log = log
        self._wake = wake
        self._ping_s = ping_s
        self._event = event
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, selectors.EVENT_READ)
        self._woke = time.monotonic()
        self.started: list[Child] = []
        """The children that were started since the caller looked last."""

    def turn(
        self,
        until: float | None,
        heard: Callable[[Child, dict[str, Any], float], None],
        lost: Callable[[Child, int, float], None],
    ) -> float:
        """Start who is due, wait for something to happen (at most until `until`), and judge all; returns the time."""
        now = time.monotonic()
        for child in self._crew:
            if child.start_at is not None and now >= child.start_at:
                self._start(child, now)
        timeout = max(0.0, self._next_due(until) - time.monotonic())
        ready = self._selector.select(timeout)
        now = time.monotonic()
        absence = now - self._woke - timeout
        self._woke = now
        for key, _ in ready:
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self._wake.recv(4096)
            else:
                self._listen(key.data, heard, now)
        for child in self._crew:
            if absence > ABSENCE_S and child.vital is not None:
                child.vital.excuse(absence)
            self._judge(child, lost, now)
            child.ping(now, self._ping_s)
        return now

    def end(self, child: Child, reason: str, within_s: float) -> None:
        """Kill a child and take it, without a word to anybody."""
        child.start_at = None
        child.kill(reason)
        self._forget(child.control)
        child.wait(time.monotonic() + within_s)

    def _next_due(self, until: float | None) -> float:
        due = [self._woke + self._ping_s] + ([] if until is None else [until])
        for child in self._crew:
            due += [] if child.start_at is None else [child.start_at]
            due += [] if child.vital is None or child.killed_for else [child.vital.deadline()]
        return min(due)

    def _start(self, child: Child, now: float) -> None:
        try:
            child.start(now, self._log)
        except OSError as error:
            LOG.error("%s cannot be started: %s", child.name, error)
            child.start_at = now + child.restarts.record(now)
            return
        self._event("supervisor.child_started", {"child": child.name, "pid": child.pid})
        assert child.control is not None
        self._selector.register(child.control, selectors.EVENT_READ, child)
        self.started.append(child)

    def _listen(self, child: Child, heard: Callable[[Child, dict[str, Any], float], None], now: float) -> None:
        for message in child.receive(now):
            heard(child, message, now)
        if child.control is not None and child.control.closed:
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.control)
            child.silent_since = now

    def _judge(self, child: Child, lost: Callable[[Child, int, float], None], now: float) -> None:
        child.faulty = child.faulty and child.restarts.exhausted(now)
        if child.silent_since is not None and now - child.silent_since > ENDING_S:
            child.kill(HUNG)
        if child.vital is not None and not child.killed_for and child.vital.overdue(now):
            LOG.warning("%s: %s", child.name, child.vital.silence(now))
            limit = child.vital.limit()
            self._event("supervisor.child_hung", {"child": child.name, "phase": child.vital.phase, "limit": limit})
            child.kill(HUNG)
        control = child.control
        code = child.reap()
        if code is not None:
            self._forget(control)
            lost(child, code, now)

    def _forget(self, control: ControlChannel | None) -> None:
        """A channel whose child is gone; closed, it cannot be looked up by its number any more."""
        for fileno, key in list(self._selector.get_map().items()):
            if key.fileobj is control:
                self._selector.unregister(fileno)
