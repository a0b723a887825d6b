"""The UDP shell of the link emulator: sockets and timers around `Relay`, and `link.json` twice a second."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from functools import partial

from hil.errors import LinkError
from hil.files import write_json
from hil.link.channel import Delivery
from hil.link.door import Door
from hil.link.relay import Relay
from hil.link.settings import Address, EmulatorSettings, address
from spacelink.clock import MissionClock

REPORT_S = 0.5
"""Real seconds between two writes of `link.json`."""
BUFFER_BYTES = 4 << 20
"""Socket buffers asked for, so that a burst is not lost before the emulator sees it (the kernel may grant less)."""
DATAGRAM_BYTES = 65_535
BATCH = 64
"""Datagrams read from one socket before the loop looks at timers again."""

Send = Callable[[float, bytes], list[Delivery]]


class Shell:
    """Runs a relay between two UDP sockets until it is told to stop."""

    def __init__(self, relay: Relay, settings: EmulatorSettings) -> None:
        self.relay = relay
        self.settings = settings
        self.path = settings.data / "link.json"
        self.unsent = 0
        """Datagrams that the kernel would not take."""
        self._door = Door(settings.data)
        self._epoch = relay.scenario.epoch_s
        self._clock = MissionClock(epoch=self._epoch)

    async def run(self) -> None:
        """Bind, relay, and report until SIGINT or SIGTERM."""
        loop = asyncio.get_running_loop()
        self._clock = self._start_clock(loop.time())
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        link = self.settings.link
        with contextlib.ExitStack() as open_sockets:
            ground = open_sockets.enter_context(bound(link.ground_bind))
            flight = open_sockets.enter_context(bound(link.flight_bind))
            self._relay(loop, ground, self.relay.from_ground, flight, address(link.flight_peer))
            self._relay(loop, flight, self.relay.from_flight, ground, address(link.ground_peer))
            print(
                f"link is up: {self.relay.scenario.title}; ground {link.ground_bind}, flight {link.flight_bind}",
                flush=True,
            )
            while not stop.is_set():
                self._report()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), REPORT_S)
            loop.remove_reader(ground)
            loop.remove_reader(flight)
        self._report()

    def _relay(
        self, loop: asyncio.AbstractEventLoop, inlet: socket.socket, send: Send, outlet: socket.socket, peer: Address
    ) -> None:
        """Offer what arrives at `inlet` to the relay, and hand what it delivers to `peer` when its time has come."""
        deliver = partial(self._deliver, outlet, peer)

        def drain() -> None:
            for _ in range(BATCH):
                try:
                    datagram = inlet.recv(DATAGRAM_BYTES)
                except OSError:  # empty, or the echo of a peer that is not up yet: radio silence
                    return
                self._take_wishes()
                for delivery in send(self._clock.at(loop.time()) - self._epoch, datagram):
                    loop.call_at(self._clock.monotonic(self._epoch + delivery.at), deliver, delivery.datagram)

        loop.add_reader(inlet, drain)

    def _take_wishes(self) -> None:
        """Faults that were asked for meanwhile."""
        for wish in self._door.wishes():
            (self.relay.up if wish.direction == "up" else self.relay.down).ask(wish)

    def _deliver(self, outlet: socket.socket, peer: Address, datagram: bytes) -> None:
        try:
            outlet.sendto(datagram, peer)
        except OSError:
            self.unsent += 1

    def _start_clock(self, monotonic: float) -> MissionClock:
        settings = self.settings.clock
        origin = monotonic if settings.origin is None else settings.origin
        return MissionClock(epoch=self.settings.epoch_s(self._epoch), speed=settings.speed, origin=origin)

    def _report(self) -> None:
        now = self._clock.at(asyncio.get_running_loop().time()) - self._epoch
        place = {"pid": os.getpid(), "link": self.settings.link.model_dump(), "unsent": self.unsent}
        write_json(self.path, place | self.relay.report(now))


def bound(bind: str) -> socket.socket:
    """Return a UDP socket that listens at `bind`; LinkError says why it cannot."""
    host, port = address(bind)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_DGRAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise LinkError(f"the link cannot listen on {bind}: {error.strerror or error}") from error
    found.setblocking(False)
    return found


def run(relay: Relay, settings: EmulatorSettings) -> None:
    """Run the emulator in this process until SIGINT or SIGTERM."""
    asyncio.run(Shell(relay, settings).run())
