"""The verifier: one gate, one check after the other, until it is told to leave."""

from __future__ import annotations

import logging
import socket
from time import monotonic
from typing import Final

from flight.inference.channel import FramedSocket
from flight.inference.duty import TICK_S, Leave
from flight.inference.errors import PeerClosed, QueryError, QueryRefused
from flight.inference.fault_port import FaultPort
from flight.inference.protocol import Ready
from flight.integrity.errors import NotPrepared
from flight.integrity.guard import Guard
from flight.verifier.duty import CheckDuty
from flight.verifier.gate import Gate
from flight.verifier.protocol import Check, Checked, Checking, Step
from flight.verifier.replay import Abandoned
from flight.verifier.self_test import self_test
from flight.verifier.settings import VerifierSettings

_log = logging.getLogger(__name__)

_IDLE_S: Final = 60.0
_PREPARED_S: Final = 0.05
_FAREWELL_S: Final = 2.0


class Unsound(Exception):  # noqa: N818 - asks for a fresh process
    """The verifier cannot be trusted as it was loaded: damage came while it loaded, or its self-test failed."""


class Verifier:
    """Loads the model and tests itself at once. Raises `ModelRefused`, `IntegrityError`, `Unsound`, or `Leave`."""

    def __init__(self, settings: VerifierSettings, duty: CheckDuty) -> None:
        self._duty = duty
        self._next_tick = 0.0
        self._left: Leave | PeerClosed | None = None
        port = FaultPort(allowed=settings.engine.faults, duty=duty)
        self._guard = self._open_guard(settings) if settings.pages else None
        try:
            self._gate = Gate(settings, self._guard, self._loading, port)
        finally:
            if self._left is not None:
                raise self._left
        self._prove()

    def serve(self, link: socket.socket) -> bool:
        """Make the checks of core at the other end of `link` until one side leaves; False asks for a new process."""
        core = FramedSocket(link)
        self._duty.serve(core)
        try:
            self._duty.enter("idle")
            self._duty.send(Ready(model=self._gate.model.facts()))
            while True:
                while (check := self._duty.next_check()) is None:
                    self._duty.attend(_IDLE_S)
                checked = self._check(check)
                if checked is not None:
                    self._duty.send(checked)
                    if checked.reason in ("numeric_fault", "engine_failed"):
                        core.drain(_FAREWELL_S)
                        return False
                self._duty.enter("idle")
        except (Leave, PeerClosed) as reason:
            _log.info("leaving: %s", reason)
            return True
        finally:
            core.close()

    def close(self) -> None:
        """Let everything go."""
        self._gate.close()
        if self._guard is not None:
            self._guard.close()

    # ---- start -----------------------------------------------------------------------------

    def _open_guard(self, settings: VerifierSettings) -> Guard:
        """The guard, once the scrubber has prepared it; then a first pass: nothing damaged is loaded."""
        while True:
            try:
                guard = Guard.open(settings.guard)
                break
            except NotPrepared:
                self._duty.attend(_PREPARED_S)
        guard.full_pass(repair=settings.repair)
        self._duty.work += 1
        return guard

    def _prove(self) -> None:
        """What was copied out of the image while it was loaded (vocabulary, template) must have been right then."""
        repairs = self._gate.settings.repair  # without it damage stays, and a fresh process would meet the same
        if self._guard is not None and repairs and self._guard.full_pass().acting:
            raise Unsound("the image was damaged while the verifier loaded it")
        if not self._gate.settings.replay:
            return  # there is nothing that could say no but the pages, which test themselves
        try:
            sound = self_test(self._gate, self._attend)
        except (QueryError, Abandoned) as error:
            if self._left is not None:
                raise self._left from error
            raise Unsound(f"the self-test could not be made: {error}") from error
        if not sound:
            raise Unsound("the self-test failed: a changed answer was taken for right, or a right one was not")

    def _loading(self) -> bool:
        return not self._attend()

    # ---- work ------------------------------------------------------------------------------

    def _check(self, check: Check) -> Checked | None:
        """The result, or None when core wants it no more. Raises `Unsound` for one that core cannot have asked."""

        def progress(step: Step, done: int, total: int) -> None:
            self._duty.enter(step)
            self._duty.work += 1
            if done == 0:
                self._duty.send(Checking(id=check.id, step=step, done=done, total=total))

        try:
            return self._gate.check(check, progress, self._attend)
        except Abandoned:
            if self._left is not None:
                raise self._left from None
            return None
        except QueryRefused as error:  # core waits for a word: it asks the fresh process, or does without
            raise Unsound(f"the check of {check.id} is refused: {error}") from error

    def _attend(self) -> bool:
        """Called from llama.cpp, where no exception may pass; says whether to stop."""
        self._duty.work += 1
        now = monotonic()
        if now < self._next_tick:
            return False
        self._next_tick = now + TICK_S
        try:
            self._duty.attend()
        except (Leave, PeerClosed) as error:
            self._left = error
            return True
        return self._duty.cancelled()
