"""One child process: its start, its control channel, its vital sign and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from flight.control import ControlChannel
from flight.supervisor.log import level
from flight.supervisor.restarts import Restarts
from flight.supervisor.vital import Limits, Vital


class Child:
    """Core or a worker: started with `python -m MODULE`, in a session of its own so that Ctrl-C does not reach it."""

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Callable[[], Sequence[str]],
        inherited: Sequence[int],
        limits: Limits,
        restarts: Restarts,
    ) -> None:
        self.name = name
        self.restarts = restarts
        self._module = module
        self._arguments = arguments
        self._inherited = tuple(inherited)
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self.control: ControlChannel | None = None
        self.vital: Vital | None = None
        self.start_at: float | None = None
        """When it is to be started (again), monotonic; None while it runs or is not wanted."""
        self.started = 0.0
        """When the process was started last, monotonic."""
        self.lost = 0
        """Losses since the supervisor started."""
        self.killed_for = ""
        """Why the supervisor killed it; empty when it ends by itself."""
        self.proven = False
        """Whether this process has got as far as its work (core: its loop; a worker: idle)."""
        self.faulty = False
        """Lost too often in the window, with nothing left to do about it but to go on trying (the scrubber)."""
        self.unfit = ""
        self.silent_since: float | None = None
        """When its control channel was found closed: it is ending, or no longer ours to steer."""
        self._pings = 0
        self._next_ping = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while there is a process."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether there is a process that has not ended; an ended one may still wait to be taken."""
        return self._process is not None and self._process.poll() is None

    def start(self, now: float, log: IO[bytes]) -> None:
        """Start the process. Raises OSError when the system has no room for one."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # -P, and our own root on the path: a folder that happens to be called `flight` where we were started (the
            # data directory, say) must not be taken for the package.
            command = [sys.executable, "-P", "-X", "faulthandler", "-m", self._module]
            command += ["--control-fd", str(theirs.fileno()), "--parent", str(os.getpid()), "--log-level", level()]
            command += self._arguments()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(), *self._inherited),
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(_search_path())},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.control = ControlChannel(ours)
        self.vital = Vital(self._limits, now)
        self.started = now
        self.start_at = None
        self.killed_for = ""
        self.proven = False
        self.unfit = ""
        self.silent_since = None
        self._next_ping = now

    def receive(self, now: float) -> list[dict[str, Any]]:
        """Messages from the child; its beats are taken into account here."""
        if self.control is None or self.vital is None:
            return []
        messages = self.control.receive()
        for message in messages:
            beat, phase = message.get("beat"), message.get("phase")
            if isinstance(beat, int) and isinstance(phase, str):
                self.vital.beat(beat, phase, now)
                self.proven = self.proven or phase in ("idle", "core")
            if isinstance(message.get("unfit"), str):
                self.unfit = message["unfit"]
        return messages

    def send(self, message: dict[str, Any]) -> None:
        """Send to the child, if there is one; what a stopped child does not read is dropped."""
        if self.control is not None:
            self.control.send(message)

    def ping(self, now: float, period_s: float) -> None:
        """Ping when it is time."""
        if self.control is not None and now >= self._next_ping:
            self._next_ping = now + period_s
            self._pings += 1
            self.control.send({"ping": self._pings})

    def working(self, now: float) -> bool:
        """Whether it runs and does its work in time: what the outer watchdog may know."""
        return (
            self._process is not None and not self.killed_for and self.vital is not None and not self.vital.overdue(now)
        )

    def kill(self, reason: str) -> None:
        """SIGKILL: the only signal that reaches a stopped or hung process."""
        if self._process is not None:
            self.killed_for = self.killed_for or reason
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self.send({"stop": True})
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def reap(self) -> int | None:
        """Return the exit code (negative: signal) once the process has ended; None while it runs or is not there."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._process = None
        if self.control is not None:
            self.control.close()
        self.control = None
        self.vital = None
        return code

    def wait(self, until: float) -> bool:
        """Wait for the end until a monotonic time; says whether it has ended."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        self.reap()
        return True


def _search_path() -> list[str]:
    """Where a child finds the code that this process runs."""
    return [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]


def describe_end(code: int) -> str:
    """An exit code as words: `exit code 1`, `SIGSEGV`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
