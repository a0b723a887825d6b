"""The supervisor's loop: start, listen, ping, judge, restart; feed the outer watchdog; end everything in order."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from flight.errors import ChildUnfit, StartRefused
from flight.settings import FlightSettings
from flight.store.files import write_whole
from flight.supervisor import premises, state
from flight.supervisor.child import Child, describe_end
from flight.supervisor.image import Image
from flight.supervisor.log import log_to
from flight.supervisor.notify import OuterWatchdog
from flight.supervisor.outbox import Outbox
from flight.supervisor.restarts import Restarts
from flight.supervisor.vital import Limits

ABSENCE_S = 0.05
"""A turn that took so much longer than planned means that the supervisor itself was stopped or starved."""

ENDING_S = 1.0
"""A child that has closed its control channel ends within this time, or is ended."""

COMMANDED = "commanded"
HUNG = "hung"
SAFE_MODE = "safe mode"
CAUSES = {"commanded": "command", "hung": "hang", "exited": "exit", "killed": "exit", "model_refused": "exit"}
"""Why a child was lost (reason codes of the dictionary), and the reset counter that it goes to."""

LOG = logging.getLogger("flight.supervisor")


class Supervisor:
    """The parent of core and engine. `run` returns when told to stop; raises `StartRefused` when it cannot start."""

    def __init__(self, settings: FlightSettings, announce: Callable[[str], None] = print) -> None:
        self._settings = premises.set_clock(settings)
        self._announce = announce
        self._data = settings.data_dir
        self._stopping = ""
        self._outbox = Outbox()
        self._watchdog = OuterWatchdog()
        self._since = time.monotonic()
        self._told: dict[str, Any] = {}
        self._announced = False
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = socket.socketpair()
        self._woke = time.monotonic()
        self._core: Child
        self._engine: Child

    # ---- start and end ----------------------------------------------

    def run(self) -> None:
        """Fly until SIGTERM or SIGINT."""
        self._take_signals()
        lock = premises.claim(self._data)
        try:
            with contextlib.ExitStack() as stack:
                self._log = stack.enter_context(premises.open_log(self._data))
                log_to(LOG, self._log)
                link = stack.enter_context(premises.bind_link(self._settings))
                premises.check_peer(self._settings, link)
                listener, address = premises.listen_for_engine()
                stack.enter_context(listener)
                self._link_address = link.getsockname()[:2]
                self._image = Image(self._settings)
                stack.callback(self._image.release)
                self._load_state()
                self._make_children(link.fileno(), listener.fileno(), address)
                stack.callback(self._end)
                self._image.sweep()
                with contextlib.suppress(_Stopped):
                    self._prepare_image()
                self._core.start_at = self._woke = time.monotonic()
                self._engine.start_at = None if self._state.mode == state.SAFE else self._core.start_at
                while not self._stopping:
                    self._turn()
                LOG.info("stopping: %s", self._stopping)
        finally:
            lock.close()

    def _take_signals(self) -> None:
        """From here on a signal only wakes the loop; it never interrupts between two instructions."""
        for end in (self._wake_r, self._wake_w):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake_w.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._wake_r, selectors.EVENT_READ)

    def _on_stop(self, number: int, _frame: object) -> None:
        self._stopping = signal.Signals(number).name

    def _load_state(self) -> None:
        self._state_path = self._data / "supervisor.json"
        before, trouble = state.load(self._state_path)
        after = dataclasses.replace(before, boot=before.boot + 1, clean=False)
        if before.boot and not before.clean:
            after = after.counted("flight_lost")
        self._save(after)
        if trouble:
            LOG.error("%s", trouble)
            self._event("supervisor.state_file_damaged", {"file": self._state_path.name})
        cause = "unknown" if trouble else "first" if not before.boot else "shutdown" if before.clean else "crash"
        self._event("supervisor.booted", {"boot": after.boot, "cause": cause})

    def _make_children(self, link_fd: int, listener_fd: int, address: str) -> None:
        own, engine = self._settings.supervisor, self._settings.engine
        limits = Limits(own.start_s, engine.loading_s, engine.first_token_s, engine.token_s, own.answer_s)

        def restarts() -> Restarts:
            return Restarts(own.restarts, own.window_s, own.backoff_s, own.backoff_max_s)

        core_arguments = ["--settings", self._settings.child_json()]
        core_arguments += ["--engine-fd", str(listener_fd), "--link-fd", str(link_fd)]
        self._core = Child("core", "flight.core", lambda: core_arguments, (link_fd, listener_fd), limits, restarts())
        self._engine = Child(
            "engine",
            "flight.inference",
            lambda: ["--settings", self._image.engine_json(), "--core-address", address],
            (),
            limits,
            restarts(),
        )

    def _prepare_image(self) -> None:
        """Copy the model into its RAM image; where that is impossible, end with a sentence or fly on in safe mode."""
        if self._state.mode == state.SAFE:
            return
        try:
            self._image.prepare(self._still_wanted)
        except StartRefused as error:
            if not self._settings.supervisor.stay_up:
                raise
            self._enter_safe_mode("model_refused", str(error))

    def _still_wanted(self, _done: int, _total: int) -> None:
        """Called while a large model is copied: a signal must not wait for its end."""
        if self._stopping:
            raise _Stopped

    def _end(self) -> None:
        """End all children, in order first and by force after the grace, whatever brought us here."""
        self._watchdog.notify("STOPPING=1")
        if self._stopping:
            self._event("supervisor.shutdown", {"cause": self._stopping})
            self._hand_events_over()
        children = (self._engine, self._core)
        for child in children:
            child.terminate()
        until = time.monotonic() + self._settings.supervisor.grace_s
        for child in children:
            if not child.wait(until):
                child.kill("did not end in time")
                child.wait(time.monotonic() + 60.0)  # SIGKILL cannot be refused; only a stuck device delays it
        with contextlib.suppress(OSError):
            (self._data / "ready.json").unlink()
        if self._stopping:
            self._save(dataclasses.replace(self._state, clean=True))

    # ---- one turn ---------------------------------------------------

    def _turn(self) -> None:
        now = time.monotonic()
        for child in (self._core, self._engine):
            if child.start_at is not None and now >= child.start_at:
                self._start_child(child, now)
        timeout = max(0.0, self._next_due() - time.monotonic())
        ready = self._selector.select(timeout)
        now = time.monotonic()
        absence = now - self._woke - timeout
        self._woke = now
        for key, _ in ready:
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self._wake_r.recv(4096)
            else:
                self._listen(key.data, now)
        for child in (self._core, self._engine):
            if absence > ABSENCE_S and child.vital is not None:
                child.vital.excuse(absence)
            self._judge(child, now)
            child.ping(now, self._settings.supervisor.ping_s)
        if self._announced:  # before READY=1 systemd waits by TimeoutStartSec
            self._watchdog.tick(now, self._all_working(now))
        self._hand_events_over()
        self._publish()

    def _hand_events_over(self) -> None:
        """Give core the events that wait, once it works."""
        if self._core.proven:
            for message in self._outbox.take():
                self._core.send(message)

    def _next_due(self) -> float:
        due = [self._woke + self._settings.supervisor.ping_s]
        for child in (self._core, self._engine):
            due += [] if child.start_at is None else [child.start_at]
            due += [] if child.vital is None or child.killed_for else [child.vital.deadline()]
        feed = self._watchdog.due() if self._announced else None
        return min(due + ([] if feed is None else [feed]))

    def _start_child(self, child: Child, now: float) -> None:
        try:
            child.start(now, self._log)
        except OSError as error:
            LOG.error("%s cannot be started: %s", child.name, error)
            child.start_at = now + child.restarts.record(now)
            return
        self._event("supervisor.child_started", {"child": child.name, "pid": child.pid})
        assert child.control is not None
        self._selector.register(child.control, selectors.EVENT_READ, child)
        if child is self._core:
            self._outbox.again()
        self._told = {}

    def _listen(self, child: Child, now: float) -> None:
        for message in child.receive(now):
            if child is self._core:
                if isinstance(message.get("do"), str):
                    self._obey(message["do"], message.get("n"), now)
                if isinstance(message.get("ack"), int):
                    self._outbox.acknowledge(message["ack"])
        if child.control is not None and child.control.closed:
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.control)
            child.silent_since = now

    def _judge(self, child: Child, now: float) -> None:
        if child.silent_since is not None and now - child.silent_since > ENDING_S:
            child.kill(HUNG)
        if child.vital is not None and not child.killed_for and child.vital.overdue(now):
            LOG.warning("%s: %s", child.name, child.vital.silence(now))
            limit = child.vital.limit()
            self._event("supervisor.child_hung", {"child": child.name, "phase": child.vital.phase, "limit": limit})
            child.kill(HUNG)
        control = child.control
        code = child.reap()
        if code is None:
            return
        if control is not None:
            for fileno, key in list(self._selector.get_map().items()):
                if key.fileobj is control:
                    self._selector.unregister(fileno)
        self._lost(child, code, now)

    # ---- losses -----------------------------------------------------

    def _lost(self, child: Child, code: int, now: float) -> None:
        """A child has ended: count it, say so, and decide what comes next."""
        why = child.killed_for or ("model_refused" if child.unfit else "killed" if code < 0 else "exited")
        LOG.warning("%s ended (%s), %s", child.name, describe_end(code), child.unfit or why)
        self._told = {}
        if child is self._engine and self._state.mode == state.SAFE:
            return
        child.lost += 1
        grounded = not self._announced and not self._settings.supervisor.stay_up
        if child.unfit and grounded:
            raise ChildUnfit(child.unfit)
        self._save(self._state.counted(f"{child.name}_{CAUSES.get(why, 'exit')}"))
        self._event("supervisor.child_restarted", {"child": child.name, "why": why, "exit": code})
        # An engine that left because its core was gone, or that was told to, is no sign of a fault of its own.
        orphaned = child is self._engine and code >= 0 and self._core.started > child.started
        innocent = why == COMMANDED or orphaned
        child.start_at = now + (0.0 if innocent else child.restarts.record(now))
        if innocent or not (child.unfit or child.restarts.exhausted(now)):
            return
        if child is self._core and grounded:
            raise StartRefused(f"Core does not start ({describe_end(code)}); {self._data / 'flight.log'} tells more.")
        if child.unfit:
            self._enter_safe_mode("model_refused", child.unfit)
        else:
            self._enter_safe_mode(
                f"{child.name}_crash_loop", f"{child.restarts.count} losses, last {describe_end(code)}"
            )

    def _enter_safe_mode(self, reason: str, detail: str) -> None:
        """Stop the engine; core goes on: commands and telemetry work, queries are refused. Kept over restarts."""
        if self._state.mode != state.SAFE:
            LOG.error("safe mode: %s (%s)", reason, detail)
            if reason == "model_refused":
                self._event("inference.model_refused", {"reason": reason, "detail": detail})
            self._save(dataclasses.replace(self._state, mode=state.SAFE, safe_reason=reason))
            self._event("supervisor.safe_mode_entered", {"reason": reason})
        self._engine.start_at = None
        self._engine.kill(SAFE_MODE)

    def _leave_safe_mode(self, now: float) -> str:
        """Start the engine again; returns the reason code why not, empty when done."""
        if self._state.mode != state.SAFE:
            return ""
        try:
            self._image.prepare()
        except StartRefused as error:
            LOG.error("safe mode stays: %s", error)
            return "model_refused"
        self._save(dataclasses.replace(self._state, mode=state.NORMAL, safe_reason=""))
        self._event("supervisor.safe_mode_left", {})
        for child in (self._core, self._engine):
            child.restarts.clear()
        if self._engine.pid is None:
            self._engine.start_at = now
        return ""

    def _obey(self, do: str, number: object, now: float) -> None:
        """A command that core received for us; the answer goes back with its number."""
        trouble = ""
        if do == "enter_safe_mode":
            self._enter_safe_mode("commanded", "by command")
        elif do == "leave_safe_mode":
            trouble = self._leave_safe_mode(now)
        elif do == "restart_engine":
            if self._state.mode == state.SAFE:
                trouble = "not_in_this_mode"
            elif self._engine.pid is not None:
                self._engine.kill(COMMANDED)
        else:
            trouble = "unknown_command"
        self._told = {}
        self._core.send({"done": number, "trouble": trouble})

    # ---- what others may know ---------------------------------------

    def _all_working(self, now: float) -> bool:
        """Whether every critical child does its work; in safe mode the engine is off on purpose, so not critical."""
        critical = (self._core,) if self._state.mode == state.SAFE else (self._core, self._engine)
        return all(child.working(now) for child in critical)

    def _publish(self) -> None:
        """Tell core and `ready.json` what has changed."""
        status = {
            "mode": self._state.mode,
            "boot": self._state.boot,
            "resets": self._state.resets,
            "lost": {child.name: child.lost for child in (self._core, self._engine)},
            "since": self._since,
            "pids": {"supervisor": os.getpid(), "core": self._core.pid, "engine": self._engine.pid},
            "safe_reason": self._state.safe_reason,
            "up": self._core.proven and (self._engine.proven or self._state.mode == state.SAFE),
            "working": [child.name for child in (self._core, self._engine) if child.proven and child.pid],
        }
        if status == self._told:
            return
        self._told = status
        self._core.send({"status": status})
        if not self._announced and not status["up"]:
            return
        ready = {
            "pid": os.getpid(),
            "core_pid": self._core.pid,
            "engine_pid": self._engine.pid,
            "link": {"host": self._link_address[0], "port": self._link_address[1]},
            "model": str(self._settings.model_path),
            "mode": self._state.mode,
            "image": self._image.path,
            "working": status["working"],
        }
        with contextlib.suppress(OSError):
            write_whole(self._data / "ready.json", (json.dumps(ready, indent=1) + "\n").encode(), durable=False)
        if not self._announced:
            self._announced = True
            self._watchdog.notify("READY=1")
            host, port = self._link_address
            with contextlib.suppress(OSError, ValueError):  # nobody may be listening any more
                self._announce(f"flight is up: link {host}:{port}, mode {self._state.mode}, data {self._data}")

    def _event(self, name: str, args: dict[str, Any]) -> None:
        LOG.info("event %s %s", name, args)
        self._outbox.put(name, args)

    def _save(self, new: state.SupervisorState) -> None:
        """Keep the state; a full or broken disk costs the memory of it, not the flight."""
        self._state = new
        try:
            state.save(self._state_path, new)
        except OSError as error:
            LOG.error("supervisor.json cannot be written: %s", error)


class _Stopped(Exception):  # noqa: N818 - not an error
    """Told to stop before everything was started."""


def fly(settings: FlightSettings) -> None:
    """Run the flight process until it is told to stop. Raises `StartRefused`."""
    Supervisor(settings, announce=lambda text: print(text, file=sys.stdout, flush=True)).run()
