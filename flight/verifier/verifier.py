"""The verifier: one gate, one check after the other, until it is told to leave."""

from __future__ import annotations

import logging
import socket
from time import monotonic
from typing import Final

from flight.inference.channel import FramedSocket
from flight.inference.duty import TICK_S, Leave
from flight.inference.errors import ModelRefused, PeerClosed, QueryError, QueryRefused
from flight.inference.fault_port import FaultPort
from flight.inference.protocol import Ready
from flight.integrity.errors import NotPrepared
from flight.integrity.guard import Guard
from flight.integrity.protocol import Found
from flight.integrity.self_test import Blind, SelfTest
from flight.verifier.duty import CheckDuty
from flight.verifier.gate import Gate
from flight.verifier.protocol import Check, Checked, Checking, Step
from flight.verifier.replay import Abandoned
from flight.verifier.self_test import self_test
from flight.verifier.settings import VerifierSettings

_log = logging.getLogger(__name__)

LOADS: Final = 3
"""Loads over an image that is damaged meanwhile, before a fresh process has to try."""

_IDLE_S: Final = 60.0
_PREPARED_S: Final = 0.05
_FAREWELL_S: Final = 2.0


class Unsound(Exception):  # noqa: N818 - asks for a fresh process
    """The verifier cannot be trusted as it was loaded: damage came whenever it loaded, or a self-test failed."""


class Verifier:
    """Loads the model and tests itself at once. Raises `ModelRefused`, `IntegrityError`, `Unsound`, or `Leave`."""

    def __init__(self, settings: VerifierSettings, duty: CheckDuty) -> None:
        self._duty = duty
        self._next_tick = 0.0
        self._left: Leave | PeerClosed | None = None
        self._settings = settings
        self._found: list[Found] = []
        self._guard = self._open_guard() if settings.pages else None
        self._planted = SelfTest(self._guard) if self._guard is not None else None
        self._next_planted = 0.0
        self._plant()
        self._gate = self._load()
        self._prove()

    def serve(self, link: socket.socket) -> bool:
        """Make the checks of core at the other end of `link` until one side leaves; False asks for a new process."""
        core = FramedSocket(link)
        self._duty.serve(core)
        try:
            self._duty.enter("idle")
            self._duty.send(Ready(model=self._gate.model.facts()))
            for found in self._found:
                self._duty.send(found)
            while True:
                while (check := self._next_check()) is None:
                    self._duty.attend(min(_IDLE_S, self._settings.self_test_s))
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

    def _open_guard(self) -> Guard:
        """The guard, once the scrubber has prepared it; then a first pass: nothing damaged is loaded."""
        while True:
            try:
                guard = Guard.open(self._settings.guard)
                break
            except NotPrepared:
                self._duty.attend(_PREPARED_S)
        self._whole(guard)
        return guard

    def _whole(self, guard: Guard) -> bool:
        """Look at all pages; says whether nothing was wrong. What was, core hears as soon as there is one to tell."""
        done = guard.full_pass(repair=self._settings.repair)
        self._found += [Found.of(finding, guard.manifest) for finding in done.findings]
        self._duty.work += 1
        return not done.acting

    def _load(self) -> Gate:
        """The model. What is copied out of the image meanwhile (vocabulary, template) must have been right then."""
        port = FaultPort(allowed=self._settings.engine.faults, duty=self._duty)
        for _ in range(LOADS):
            gate, refused = None, None
            try:
                gate = Gate(self._settings, self._guard, self._loading, port)
            except ModelRefused as error:
                refused = error  # by what the file is, or by what a flip has made of it
            if self._left is not None:
                raise self._left
            # Without repair damage stays, and the next load would meet the same.
            whole = self._guard is None or not self._settings.repair or self._whole(self._guard)
            if refused is not None and whole:
                raise refused
            if gate is not None:
                if whole:
                    return gate
                gate.close()
        raise Unsound(f"the image was damaged in each of {LOADS} loads")

    def _prove(self) -> None:
        """Nothing is checked by a gate that cannot say no."""
        if not self._gate.settings.replay:
            return  # there is nothing that could say no but the look at the pages, and that is tested for itself
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

    def _next_check(self) -> Check | None:
        """The check to make next, by a verifier that has just now or not long ago found a planted flip."""
        self._plant()
        return self._duty.next_check()

    def _plant(self) -> None:
        """A flip planted in a private page must be found and undone, when it is time: idle, or before a check."""
        now = monotonic()
        if self._planted is None or now < self._next_planted:
            return
        self._next_planted = now + self._settings.self_test_s
        try:
            self._planted.run()
        except Blind as error:
            raise Unsound(f"the self-test failed: {error}") from error
        except (OSError, ValueError) as error:  # not the image that the guard has mapped: it was made again, or is gone
            raise Unsound(f"the self-test could not be made over {self._settings.guard.image}: {error}") from error
        self._duty.work += 1

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
