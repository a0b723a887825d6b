"""Core's loop: the sockets and the clock around `Core`. Whatever comes is handled, then all that is due goes out."""

from __future__ import annotations

import contextlib
import logging
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from flight.control import ControlChannel
from flight.core.core import Core
from flight.core.moment import Moment
from flight.core.pacer import Pacer
from flight.core.port import Port
from flight.health.sensors import Sensors
from flight.settings import FlightSettings, split_address
from spacelink.cadu import CADU_BYTES
from spacelink.clock import MissionClock

LOG = logging.getLogger("flight.core")
DATAGRAMS = 64
"""Datagrams taken in one turn, so that a flood cannot keep the loop from everything else."""
DATAGRAM_BYTES = 65_535
FRAME_BITS = 8 * CADU_BYTES
TURN_S = 0.5
"""Longest sleep: how late an expiry or a thermal gate may be noticed."""


class Shell:
    """Owns the sockets. `run` returns when the supervisor says stop, or is gone."""

    def __init__(
        self,
        settings: FlightSettings,
        core: Core,
        control: ControlChannel,
        link: socket.socket,
        listeners: Mapping[str, socket.socket],
    ) -> None:
        self._core = core
        self._control = control
        self._link = link
        self._ports = [Port(name, listeners[name], peer) for name, peer in core.peers.items()]
        clock = settings.clock
        self._clock = MissionClock(datetime.fromisoformat(clock.epoch).timestamp(), clock.speed, clock.origin or 0.0)
        self._hk_period_s = settings.core.hk_period_s
        self._sample_s = settings.health.sample_s
        host, port = split_address(settings.link.peer, "link.peer")
        self._peer = socket.getaddrinfo(host, port, link.family, socket.SOCK_DGRAM)[0][4]
        self._pacer = Pacer(settings.link.downlink_bps * clock.speed)
        self._sensors = Sensors(Path(settings.health.sysfs), settings.data_dir)
        self._frames: deque[bytes] = deque()
        self._turns = 0
        self._stop = False
        self._next_hk = 0.0
        self._next_sample = 0.0
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = socket.socketpair()

    def now(self) -> Moment:
        """The moment on both clocks."""
        monotonic = time.monotonic()
        return Moment(monotonic, self._clock.at(monotonic))

    def run(self, set_aside: str | None) -> None:
        """Work until told to stop."""
        self._take_signals()
        self._link.setblocking(False)
        for source in (self._wake_r, self._control, self._link):
            self._selector.register(source, selectors.EVENT_READ)
        for port in self._ports:
            self._selector.register(port.listener, selectors.EVENT_READ)
        # Nothing is answered before the supervisor has said in which mode we are.
        while not self._stop and not self._core.housekeeping.status.since:
            self._selector_wait_for_status()
        self._core.start(self.now(), set_aside)
        while not self._stop:
            self._turn()
        self._hear_supervisor(self.now())  # its last words come with the signal
        self._tell()
        self._send_frames()

    def _take_signals(self) -> None:
        for end in (self._wake_r, self._wake_w):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake_w.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _on_stop(self, _number: int, _frame: object) -> None:
        self._stop = True

    def _selector_wait_for_status(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wake_r, selectors.EVENT_READ)
            selector.select()
        self._hear_supervisor(self.now())

    def _turn(self) -> None:
        self._selector.select(self._timeout())
        self._turns += 1
        now = self.now()
        with contextlib.suppress(BlockingIOError):
            self._wake_r.recv(4096)
        self._hear_supervisor(now)
        for port in self._ports:
            self._hear_worker(port, now)
        self._hear_link()
        now = self.now()
        if now.monotonic >= self._next_sample:
            self._next_sample = now.monotonic + self._sample_s
            pids = [pid for pid in self._core.housekeeping.status.pids.values() if pid]
            self._core.sensors(self._sensors.read(pids), now)
        self._core.pump(now)
        if now.monotonic >= self._next_hk:
            self._next_hk = now.monotonic + self._hk_period_s
            self._core.report_housekeeping(now)
        self._tell()
        self._send_frames()
        self._core.journal_flush()

    def _timeout(self) -> float:
        now = time.monotonic()
        until = min(TURN_S, self._next_hk - now, self._next_sample - now)
        if self._frames or self._core.downlink.pending():
            until = min(until, max(0.001, self._pacer.wait(FRAME_BITS)))
        return max(0.0, until)

    # ---- in --------------------------------------------------------------------------------

    def _hear_supervisor(self, now: Moment) -> None:
        for message in self._control.receive():
            if "ping" in message:
                self._beat()
            elif message.get("stop"):
                self._stop = True
            else:
                self._core.bridge.message(message, now)
        if self._control.closed:
            self._stop = True

    def _hear_worker(self, port: Port, now: Moment) -> None:
        had = port.connection
        if had is not None:
            messages, alive = port.receive()
            for message in messages:
                port.peer.heard(message, now)
            if not alive:
                self._lost_worker(port, had, now)
        before = port.connection
        if port.accept():
            if before is not None:
                self._lost_worker(port, before, now)
            assert port.connection is not None
            self._selector.register(port.connection, selectors.EVENT_READ)

    def _lost_worker(self, port: Port, connection: object, now: Moment) -> None:
        for fd, key in list(self._selector.get_map().items()):
            if key.fileobj is connection:
                self._selector.unregister(fd)
        port.peer.lost(now)

    def _hear_link(self) -> None:
        for _ in range(DATAGRAMS):
            try:
                data = self._link.recv(DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error of something we sent; the link goes on
            self._core.datagram(data, self.now())

    # ---- out -------------------------------------------------------------------------------

    def _beat(self) -> None:
        self._control.send({"beat": self._turns, "phase": "core"})

    def _tell(self) -> None:
        """Words for supervisor and workers."""
        outgoing: list[dict[str, Any]] = self._core.bridge.outgoing
        if any("ack" in message for message in outgoing):
            self._core.journal_flush()
        for message in outgoing:
            self._control.send(message)
        outgoing.clear()
        for port in self._ports:
            connection, requests = port.connection, port.peer.requests
            if connection is not None:
                sent = port.send(requests)
                requests.clear()
                if not sent:
                    self._lost_worker(port, connection, self.now())

    def _send_frames(self) -> None:
        """As many frames as the rate allows; the last one is closed, since there is nothing more to wait for."""
        allowance = self._pacer.allowance(time.monotonic(), FRAME_BITS)
        if not self._frames and self._core.downlink.pending():
            self._frames.extend(self._core.downlink.frames(self._core.uplink.clcw(), fill=True, limit=allowance))
        while self._frames and (allowance is None or allowance > 0):
            try:
                self._link.sendto(self._frames[0], self._peer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                LOG.debug("a frame was not sent: %s", error)
            self._frames.popleft()
            self._core.housekeeping.frames_sent += 1
            self._pacer.spend(FRAME_BITS)
            allowance = None if allowance is None else allowance - 1
