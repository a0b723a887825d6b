"""The code of the children under watch: pass after pass over their mappings, a piece at a time, at a given rate.

Sans-I/O as the scrubber is: `step` does what is due and says when to come again; `take` gives what is to be told.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import Final

from flight.inference.protocol import Message
from flight.integrity.mappings import CodeImage, Damage, Files
from flight.integrity.protocol import CodeDamage

SLICE_S: Final = 0.05
"""Time from one slice of a pass to the next."""
PERIOD_S: Final = 2.0
"""Least time from the start of one pass to the next."""
OURSELVES: Final = "scrubber"

LOG = logging.getLogger("flight.integrity")


class CodeWatch:
    """Compares the code of named processes, ourselves among them; a process that is gone is looked at no more."""

    def __init__(self, bytes_per_s: float, now: float) -> None:
        """`bytes_per_s` 0: nothing is compared."""
        self._rate = bytes_per_s
        self._files = Files()
        self._images: dict[str, CodeImage] = {}
        self._walk: Iterator[tuple[str, int | Damage]] | None = None
        self._next = now
        self._known: set[tuple[int, int]] = set()
        self._out: list[Message] = []
        self.work = 0
        """Pieces looked at."""
        self.passes = 0
        self.watch({})

    def watch(self, pids: Mapping[str, int]) -> None:
        """The processes to look at from now on, by name; what is relocated in them counts as right as it is now."""
        if self._rate <= 0:
            return
        wanted = {**pids, OURSELVES: os.getpid()}
        self._images = {name: image for name, image in self._images.items() if wanted.get(name) == image.pid}
        for name, pid in wanted.items():
            if name in self._images:
                continue
            try:
                self._images[name] = image = CodeImage.of(pid, self._files)
            except OSError as error:
                LOG.warning("the code of %s (%s) cannot be compared: %s", name, pid, error)
                continue
            seen = image.coverage
            LOG.info(
                "code of %s: %d bytes compared with flash (%d of them through the cache), %d relocated, %d not covered",
                name, seen.compared, seen.through_cache, seen.relocated, seen.skipped,
            )  # fmt: skip
        self._walk = None

    def step(self, now: float) -> float:
        """Look at as much as the rate has for one slice. Returns when to come again."""
        if self._rate <= 0 or not self._images:
            return now + PERIOD_S
        if now < self._next:
            return self._next
        if self._walk is None:
            self._walk, self._began = self._pass(), now
        allowance = self._rate * SLICE_S
        while allowance > 0:
            piece = next(self._walk, None)
            if piece is None:
                self._walk = None
                self.passes += 1
                self._next = max(now, self._began + PERIOD_S)
                return self._next
            name, found = piece
            if isinstance(found, Damage):
                self._tell(name, found)
            else:
                allowance -= found
                self.work += 1
        self._next = now + SLICE_S
        return self._next

    def take(self) -> list[Message]:
        """What is to be told since the last call."""
        out, self._out = self._out, []
        return out

    def close(self) -> None:
        """Let the files go."""
        self._walk = None
        self._files.close()

    def _pass(self) -> Iterator[tuple[str, int | Damage]]:
        for name, image in list(self._images.items()):
            try:
                for found in image.walk():
                    yield name, found
            except OSError as error:  # it has ended; core will say which one came after it
                LOG.info("the code of %s (%s) is looked at no more: %s", name, image.pid, error)
                self._images.pop(name, None)

    def _tell(self, name: str, damage: Damage) -> None:
        """Tell of a damaged page once."""
        if (damage.pid, damage.address) in self._known:
            return
        self._known.add((damage.pid, damage.address))
        LOG.error("code damaged: %s", damage)
        self._out.append(
            CodeDamage(pid=damage.pid, child=name, mapping=damage.path, offset=damage.offset, kind=damage.kind.value)
        )
