"""The scrubber: pass after pass over codes, parity and image, a slice at a time, at a given rate. No sockets, no sleep.

>>> scrubber = Scrubber(settings, guard, now)
>>> scrubber.step(now)            # does what is due; returns when there is something to do again
>>> scrubber.take()               # what is to be told to core since
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from flight.inference.protocol import Message
from flight.integrity.finding import Finding, Part
from flight.integrity.guard import Guard
from flight.integrity.protocol import Copied, Found, Passed
from flight.integrity.self_test import SelfTest
from flight.integrity.settings import ScrubberSettings
from flight.integrity.slot_copy import CopyRefused, keep_copy

SLICE_S: Final = 0.04
"""Time from one slice of a paced pass to the next: few enough to cost nothing, small enough not to hold the memory."""
IDLE_S: Final = 3600.0

LOG = logging.getLogger("flight.integrity")


@dataclass
class _Walk:
    """A pass on its way: `runs` to go over the image, then over the parity."""

    began: float
    deep: bool
    run: int = 0
    bytes: int = 0
    findings: int = 0


class Scrubber:
    """Walks over one image. `work` counts pages looked at; `scrubbing` says whether a pass is on its way."""

    def __init__(self, settings: ScrubberSettings, guard: Guard, now: float) -> None:
        self._guard = guard
        self._repair = settings.repair
        self._period_s = settings.period_s
        self._deep_s = settings.deep_s
        self._self_test_s = settings.self_test_s
        self._self_test = SelfTest(guard)
        self.bytes_per_s = settings.bytes_per_s
        self.work = 0
        self.passes = 0
        self._walk: _Walk | None = None
        self._next_pass = now
        self._next_deep = now + settings.deep_s
        self._next_test = now
        self._known: set[tuple[Part, int]] = set()
        self._out: list[Message] = []
        copy_to = settings.copy_to
        self._copy_to = copy_to
        model = guard.settings.model
        self._copy: Iterator[int] | None = keep_copy(model, guard.manifest, copy_to) if copy_to else None
        self._next_piece = now

    @property
    def scrubbing(self) -> bool:
        """Whether a pass is on its way."""
        return self._walk is not None

    def take(self) -> list[Message]:
        """What is to be told since the last call."""
        out, self._out = self._out, []
        return out

    def set_rate(self, bytes_per_s: float, now: float) -> None:
        """Scrub at another rate from now on; 0 ends the pass that is on its way."""
        self.bytes_per_s = bytes_per_s
        self._walk = None
        self._next_pass = now

    def full_pass(self, *, deep: bool, asked: int | None, now: float) -> None:
        """A pass at once and at full speed."""
        result = self._guard.full_pass(deep=deep, repair=self._repair)
        self.work += result.pages
        self.passes += 1
        self.tell(result.findings)
        self._out.append(
            Passed(
                number=self.passes,
                pages=result.pages,
                seconds=result.seconds,
                findings=len(result.findings),
                deep=deep,
                asked=asked,
            )
        )
        self._next_pass = max(self._next_pass, now + self._period_s)

    def step(self, now: float) -> float:
        """Do what is due now: self-test, a slice of the pass, a piece of the copy. Returns when to come again.

        Raises `Blind` when the self-test fails.
        """
        if now >= self._next_test:
            self._self_test.run()
            self.work += 1
            self._next_test = now + self._self_test_s
        due = [self._next_test]
        if self.bytes_per_s > 0:
            due.append(self._scrub(now))
        if self._copy is not None:
            due.append(self._keep_copy(now))
        return min(due)

    # ---- the pass --------------------------------------------------------------------------

    def _scrub(self, now: float) -> float:
        if self._walk is None:
            if now < self._next_pass:
                return self._next_pass
            self._begin(now)
        walk = self._walk
        assert walk is not None
        due = walk.began + walk.bytes / self.bytes_per_s
        if now < due:
            return due
        self._slice(walk)
        if walk.run < self._runs:
            return walk.began + walk.bytes / self.bytes_per_s
        self._end(walk, now)
        return self._next_pass

    @property
    def _runs(self) -> int:
        return self._guard.ladder.image.runs + self._guard.ladder.stripes.runs

    def _begin(self, now: float) -> None:
        self._walk = _Walk(began=now, deep=now >= self._next_deep)
        found = self._guard.check_codes()
        self._walk.findings += len(found)
        self.tell(found)

    def _slice(self, walk: _Walk) -> None:
        """As many runs as the rate has for one slice, of the image or of the parity."""
        ladder = self._guard.ladder
        image = walk.run < ladder.image.runs
        scanner, first = (ladder.image, walk.run) if image else (ladder.stripes, walk.run - ladder.image.runs)
        count = max(1, int(self.bytes_per_s * SLICE_S) // scanner.run_bytes)
        count = min(count, scanner.runs - first)
        bad = scanner.scan(first, count, deep=walk.deep)
        if bad:
            found = self._guard.settle(bad if image else [], [] if image else bad, repair=self._repair)
            walk.findings += len(found)
            self.tell(found)
        walk.run += count
        walk.bytes += count * scanner.run_bytes
        self.work += count * scanner.pages_per_run

    def _end(self, walk: _Walk, now: float) -> None:
        self.passes += 1
        if walk.deep:
            self._next_deep = walk.began + self._deep_s
        self._out.append(
            Passed(
                number=self.passes,
                pages=self._guard.pages,
                seconds=now - walk.began,
                findings=walk.findings,
                deep=walk.deep,
            )
        )
        self._walk = None
        self._next_pass = max(walk.began + self._period_s, walk.began + walk.bytes / self.bytes_per_s)

    def tell(self, findings: list[Finding] | tuple[Finding, ...]) -> None:
        """Tell of findings; what stays unrepaired is told once, not in every pass."""
        for finding in findings:
            key = (finding.part, finding.number)
            if finding.repaired:
                self._known.discard(key)
            elif key in self._known:
                continue
            else:
                self._known.add(key)
            LOG.warning("%s", finding.sentence())
            self._out.append(Found.of(finding, self._guard.manifest))

    # ---- the other slot --------------------------------------------------------------------

    def _keep_copy(self, now: float) -> float:
        """A piece of the copy, as fast as the scrubber may read at all."""
        assert self._copy is not None
        if now < self._next_piece:
            return self._next_piece
        path, trouble = str(self._copy_to), ""
        try:
            count = next(self._copy)
        except StopIteration:
            LOG.info("the other slot holds a proven copy: %s", path)
        except CopyRefused as refusal:
            trouble = str(refusal)
            LOG.warning("%s", trouble)
        else:
            self.work += 1
            self._next_piece = now + count / (self.bytes_per_s or 1e8)
            return self._next_piece
        self._copy = None
        self._out.append(Copied(path=path, trouble=trouble))
        return now + IDLE_S
