"""The scrubber as a process lives: prepares the guard, then scrubs and listens until it is told to leave."""

from __future__ import annotations

import logging
import os
import socket
from time import monotonic
from typing import Any, Final

from flight.inference.channel import FramedSocket
from flight.inference.duty import Duty, Leave
from flight.inference.errors import PeerClosed
from flight.inference.protocol import Message
from flight.integrity.code_watch import CodeWatch
from flight.integrity.finding import Finding, Outcome, Part
from flight.integrity.guard import Guard, Prepared, prepare
from flight.integrity.protocol import Guarded, Rate, Scrub, Watch, parse_request
from flight.integrity.scrubber import Scrubber
from flight.integrity.settings import ScrubberSettings

NICE: Final = 5
"""Decoding comes first; a scrubber that gets no time at all is late, and the supervisor sees it."""
_TICK_S: Final = 0.02

LOG = logging.getLogger("flight.integrity")


class ScrubDuty(Duty):
    """The scrubber's sockets and its count of work done."""

    def take(self) -> list[Message]:
        """What core asks for."""
        asked = list(self._queue)
        self._queue.clear()
        return asked

    def _parse(self, message: dict[str, Any]) -> Message:
        return parse_request(message)


class Service:
    """Scrubs the image of `settings`. Raises `IntegrityError` when it cannot be guarded, `Blind`, or `Leave`."""

    def __init__(self, settings: ScrubberSettings, duty: ScrubDuty) -> None:
        self._duty = duty
        self._next_tick = 0.0
        self._prepared = prepare(settings.guard, self._preparing)
        duty.work += 1
        self._guard = Guard.open(settings.guard)
        os.nice(NICE)  # from here on: what is prepared, others wait for
        self._scrubber = Scrubber(settings, self._guard, monotonic())
        self._code = CodeWatch(settings.code_bytes_per_s, monotonic())

    def serve(self, link: socket.socket) -> None:
        """Work until one side leaves. Raises `Blind`."""
        core = FramedSocket(link)
        self._duty.serve(core)
        scrubber, code, before = self._scrubber, self._code, self._duty.work
        try:
            due = scrubber.step(monotonic())  # the first self-test comes before the first word
            self._duty.enter("idle")
            self._duty.send(self._guarded(self._prepared))
            scrubber.tell([Finding(Part.CODES, block, Outcome.COPY) for block in self._prepared.restored])
            while True:
                for message in [*scrubber.take(), *code.take()]:
                    self._duty.send(message)
                self._duty.work = before + scrubber.work + code.work
                self._duty.enter("scrub" if scrubber.scrubbing else "idle")
                self._duty.attend(max(0.0, due - monotonic()))
                for request in self._duty.take():
                    self._obey(request)
                due = min(scrubber.step(monotonic()), code.step(monotonic()))
        except (Leave, PeerClosed) as reason:
            LOG.info("leaving: %s", reason)
        finally:
            core.close()

    def close(self) -> None:
        """Let everything go."""
        self._code.close()
        self._guard.close()

    def _obey(self, request: Message) -> None:
        match request:
            case Scrub():
                self._scrubber.full_pass(deep=request.deep, asked=request.n, now=monotonic())
            case Rate():
                self._scrubber.set_rate(request.bytes_per_s, monotonic())
            case Watch():
                self._code.watch(request.pids)
            case _:
                pass

    def _preparing(self, _done: int, _total: int) -> None:
        """A piece of flash was read: work done."""
        self._duty.work += 1
        now = monotonic()
        if now >= self._next_tick:
            self._next_tick = now + _TICK_S
            self._duty.attend()

    def _guarded(self, prepared: Prepared) -> Guarded:
        return Guarded(
            self_made=prepared.self_made,
            manifest_sha256=prepared.manifest_sha256,
            pages=self._guard.pages,
            code_bytes=prepared.code_bytes,
            parity_bytes=prepared.parity_bytes,
            seconds=prepared.seconds,
            derived=prepared.derived,
            bytes_per_s=self._scrubber.bytes_per_s,
        )
