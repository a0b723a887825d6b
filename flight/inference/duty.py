"""What the engine owes others while it computes: beats, pings, cancels, and leaving when it is told to.

No thread and no timer does this: a beat is sent from where the work is done, so an engine that hangs falls silent.
"""

from __future__ import annotations

import select
import signal
import socket
from collections import deque
from time import monotonic
from typing import Any, Final

from flight.control import ControlChannel
from flight.inference.channel import FramedSocket
from flight.inference.errors import PeerClosed, ProtocolError
from flight.inference.protocol import Cancel, Go, Message, Ping, Pong, Run, parse_request

TICK_S: Final = 0.02
"""Least time between two looks at the sockets, and between two `text` messages (docs/contract.md §4)."""

BEAT_S: Final = 0.1
"""Least time between two beats that nobody asked for."""


class Leave(Exception):  # noqa: N818 - not an error: the engine was told to end
    """Told to end: by signal, by the supervisor, or by the end of one of the sockets."""


class Duty:
    """The sockets of the engine (and, as `CheckDuty`, of the verifier) and its count of work done."""

    def __init__(self, control: ControlChannel) -> None:
        self.work = 0
        self.phase = "loading"
        self._control = control
        self._queue: deque[Any] = deque()
        self._running = ""
        self._core: FramedSocket | None = None
        self._cancelled: set[str] = set()
        self._gone = False
        self._next_beat = 0.0
        self._beaten = -1
        self._signal, self._signal_writer = socket.socketpair()
        self._signal.setblocking(False)
        self._signal_writer.setblocking(False)

    def catch_signals(self) -> None:
        """End on SIGTERM, also while idle. SIGINT is the supervisor's: the terminal sends it to the whole group."""
        signal.set_wakeup_fd(self._signal_writer.fileno())
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)  # the wake-up byte says it all
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def serve(self, core: FramedSocket) -> None:
        """From now on there is a core to listen to."""
        self._core = core

    def send(self, message: Message) -> None:
        """Tell core. Raises `PeerClosed`."""
        if self._core is not None:
            self._core.send(message)

    def unfit(self, sentence: str) -> None:
        """Tell the supervisor that restarting this engine changes nothing."""
        self._control.send({"unfit": sentence})

    def next_query(self) -> Run | None:
        """The query to answer next, or None. The one before it has ended."""
        query: Run | None = self._next()
        return query

    def _next(self) -> Any:
        self._cancelled.discard(self._running)
        self._running = ""
        if not self._queue:
            return None
        query = self._queue.popleft()
        self._running = query.id
        return query

    def cancelled(self) -> bool:
        """Whether core cancelled the running query."""
        return self._running in self._cancelled

    def hold(self) -> None:
        """Stand still until core says go, or cancels. Raises `Leave`, `PeerClosed`."""
        self._gone = False
        while not self._gone and not self.cancelled():
            self.attend(BEAT_S)

    def enter(self, phase: str) -> None:
        """Change the phase, and say so at once: it changes the supervisor's deadline."""
        if phase != self.phase:
            self.phase = phase
            self._beat(monotonic())

    def attend(self, timeout_s: float = 0.0) -> None:
        """Look after the sockets, waiting at most `timeout_s` for something to come. Raises `Leave`, `PeerClosed`."""
        now = monotonic()
        if now >= self._next_beat and self.work != self._beaten:
            self._beat(now)
        core = self._core
        readers: list[FramedSocket | ControlChannel | socket.socket] = [self._signal, self._control]
        writers: list[FramedSocket] = []
        if core is not None:
            readers.append(core)
            if core.waiting:
                writers.append(core)
        ready, writable, _ = select.select(readers, writers, [], timeout_s)
        if self._signal in ready:
            raise Leave("SIGTERM")
        if self._control in ready:
            self._hear_supervisor()
        if core is not None and writable:
            core.flush()
        if core is not None and core in ready:
            self._hear_core(core)

    def _beat(self, now: float) -> None:
        self._next_beat = now + BEAT_S
        self._beaten = self.work
        self._control.send({"beat": self.work, "phase": self.phase})

    def _hear_supervisor(self) -> None:
        for message in self._control.receive():
            if "ping" in message:
                self._beat(monotonic())
            if message.get("stop"):
                raise Leave("the supervisor says stop")
        if self._control.closed:
            raise Leave("the supervisor is gone")

    def _hear_core(self, core: FramedSocket) -> None:
        for message in core.receive():
            try:
                request = self._parse(message)
            except ProtocolError as error:
                raise PeerClosed(f"core sends what was not agreed: {error}") from error
            match request:
                case Go():
                    self._gone = request.id == self._running
                case Cancel():
                    self._cancel(request.id)
                case Ping():
                    core.send(Pong())
                case _:
                    self._queue.append(request)

    def _parse(self, message: dict[str, Any]) -> Message:
        return parse_request(message)

    def _cancel(self, query_id: str) -> None:
        """Note a cancel; one for a query that is not here must not meet a later attempt of it."""
        if query_id == self._running or any(query.id == query_id for query in self._queue):
            self._cancelled.add(query_id)
