"""Children of a worker: engine and verifier as they fly, over inherited sockets, from the nursery."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

import psutil

from flight.control import ControlChannel
from flight.inference.channel import FramedSocket
from flight.inference.errors import PeerClosed, ProtocolError
from flight.inference.protocol import Message
from hil.errors import CampaignError

_START_S: Final = 60.0


class Nursery:
    """The fork server's desk (see `hil.campaign.nursery`)."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "children.log"
        self._desk, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._exits: dict[int, int] = {}
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment.pop("ORBITLM_NURSERY", None)
        arguments = ["--fd", str(theirs.fileno()), "--parent", str(os.getpid())]
        with theirs, self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hil.campaign.nursery", *arguments],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start(self, module: str, arguments: Sequence[str]) -> Child:
        """A child that runs `module`'s main; `{fd0}` is its control socket, `{fd1}` its core socket."""
        control, theirs = socket.socketpair()
        core, core_theirs = socket.socketpair()
        with theirs, core_theirs:
            order = {"start": module, "arguments": list(arguments), "log": str(self.log)}
            try:
                socket.send_fds(self._desk, [json.dumps(order).encode()], [theirs.fileno(), core_theirs.fileno()])
            except OSError as error:
                raise CampaignError(f"The nursery of flight's children is gone: {self.last_words()}") from error
        return Child(self, int(self._answer("pid")), control, core)

    def used_s(self) -> float:
        """Seconds of processor time that children have used, those that ended and those that run."""
        self._desk.send(json.dumps({"used": True}).encode())
        running = psutil.Process(self._process.pid).children()
        times = [child.cpu_times() for child in running]
        return self._answer("used") + sum(one.user + one.system for one in times)

    def exit_status(self, pid: int) -> int | None:
        """How `pid` ended (negative: the signal), None while that is not known."""
        while pid not in self._exits and select.select([self._desk], [], [], 0)[0]:
            self._take()
        return self._exits.get(pid)

    def last_words(self) -> str:
        """The last lines of the children's log."""
        with contextlib.suppress(OSError):
            return " ".join(self.log.read_text("utf-8", "replace").split("\n")[-6:]).strip() or "no words"
        return "no log"

    def close(self) -> None:
        """End the nursery and all its children."""
        self._desk.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self, key: str) -> float:
        deadline = monotonic() + _START_S
        while select.select([self._desk], [], [], max(0.0, deadline - monotonic()))[0]:
            message = self._take()
            if key in message:
                return float(message[key])
        raise CampaignError(f"The nursery did not start a child within {_START_S:g} s: {self.last_words()}")

    def _take(self) -> dict[str, Any]:
        data = self._desk.recv(1 << 16)
        if not data:
            raise CampaignError(f"The nursery of flight's children ended: {self.last_words()}")
        message: dict[str, Any] = json.loads(data)
        if "exited" in message:
            self._exits[message["exited"]] = message["status"]
        return message


class Child:
    """One process of flight. `receive` gives its messages; `None` means that it is gone, `[]` that it is silent."""

    def __init__(self, nursery: Nursery, pid: int, control: socket.socket, core: socket.socket) -> None:
        self.pid = pid
        self.used = 0
        """Queries that it has answered."""
        self._nursery = nursery
        self._control = ControlChannel(control)
        self._core = FramedSocket(core)
        self._pending: list[dict[str, Any]] = []
        self.gone = False

    def send(self, message: Message) -> None:
        """Hand over a message; to one that is gone, nothing."""
        try:
            self._core.send(message)
        except PeerClosed:
            self.gone = True

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message, waiting at most `timeout_s`. None: nothing came, or the child is `gone`."""
        deadline = monotonic() + timeout_s
        while not self._pending and not self.gone:
            left = deadline - monotonic()
            if left <= 0:
                return None
            watched: list[FramedSocket | ControlChannel] = [self._core, self._control]
            ready, _, _ = select.select(watched, [], [], left)
            if self._control in ready:
                self._control.receive()  # beats: the lane's watchdog counts answers, not beats
                if self._control.closed and self._core not in ready:
                    self.gone = True
            if self._core in ready:
                try:
                    self._pending += self._core.receive()
                except (PeerClosed, ProtocolError):
                    self.gone = True
        return self._pending.pop(0) if self._pending else None

    def kill(self) -> None:
        """End it at once, whatever it does, and let its sockets go."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Let the sockets go: an idle child leaves by itself."""
        self.gone = True
        self._control.close()
        self._core.close()

    def status(self, wait_s: float = 2.0) -> int | None:
        """Exit status once it ended; negative is a signal."""
        deadline = monotonic() + wait_s
        while (found := self._nursery.exit_status(self.pid)) is None and monotonic() < deadline:
            select.select([], [], [], 0.005)
        return found
