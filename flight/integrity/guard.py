"""The guard of one image: image and parity mapped read-write, page codes read from flash, damage found and repaired.

>>> prepared = prepare(settings)             # once: manifest, codes and parity are brought into place
>>> guard = Guard.open(settings)             # in every process that checks: the scrubber, the verifier
>>> guard.full_pass().unrepaired             # 0 when the image is the model on flash
>>> guard.close()

Several guards may stand over one image and repair at once: every write is proven, and both write the same bytes.
"""

from __future__ import annotations

import contextlib
import mmap
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from flight.integrity.codes import Codes, load
from flight.integrity.errors import CodesRefused, ImageRefused, NotPrepared
from flight.integrity.finding import Finding, Outcome, Part
from flight.integrity.flash import Flash
from flight.integrity.ladder import Ladder
from flight.integrity.map import TensorMap
from flight.integrity.parity import Parity
from flight.integrity.preparation import Prepared, open_manifest, prepare
from flight.integrity.settings import GuardSettings
from models.manifest import Manifest

__all__ = ["Guard", "GuardSettings", "Pass", "Prepared", "prepare"]


@dataclass(frozen=True)
class Pass:
    """One look at all pages: how many pages of the image, how long, and what was found."""

    pages: int
    seconds: float
    findings: tuple[Finding, ...] = field(default=())

    @property
    def repaired(self) -> int:
        """Findings whose bytes are proven right again."""
        return sum(finding.repaired for finding in self.findings)

    @property
    def unrepaired(self) -> int:
        """Findings that no rung repaired."""
        return len(self.findings) - self.repaired

    @property
    def acting(self) -> tuple[Finding, ...]:
        """Findings that can have to do with what is computed over the image."""
        return tuple(finding for finding in self.findings if finding.acts)


class Guard:
    """Checks and repairs one image. `ladder` is for a paced pass; it changes when the codes are read again."""

    def __init__(self, settings: GuardSettings, manifest: Manifest, stack: contextlib.ExitStack) -> None:
        """Use `open`."""
        self.settings = settings
        self.manifest = manifest
        self._stack = stack
        self._flash = stack.enter_context(Flash(settings.model))
        self._image = _map(settings.image, manifest.bytes)
        codes = load(settings.codes, manifest)
        self._parity = _map(settings.parity, codes.pages.parity.bytes)
        self.tensors = TensorMap(manifest.tensors)
        self.ladder = self._ladder(codes)
        self._met = [Finding(Part.CODES, block, Outcome.COPY) for block in codes.restored]
        self.ladder.counters.update((each.part, each.outcome) for each in self._met)

    @classmethod
    def open(cls, settings: GuardSettings) -> Self:
        """Map image and parity, read the codes from flash. `NotPrepared` while `prepare` has not been through."""
        for path in (settings.manifest, settings.codes, settings.parity):
            if not path.exists():
                raise NotPrepared(f"There is no {path} yet: the guard of the image is still being prepared.")
        manifest, _ = open_manifest(settings.manifest, settings.model)
        with contextlib.ExitStack() as stack:
            try:
                guard = cls(settings, manifest, stack)
            except OSError as error:
                raise CodesRefused(f"The image {settings.image} cannot be guarded: {error.strerror}.") from error
            stack.pop_all()
        return guard

    @property
    def image(self) -> memoryview:
        """The bytes of the image, writable: the bench's."""
        return self._image

    @property
    def pages(self) -> int:
        """Pages of the image."""
        return self.ladder.codes.pages.count

    def full_pass(self, *, deep: bool = False, repair: bool = True) -> Pass:
        """Look at codes, parity and image once; `deep` compares XXH3-64 of every page, `repair` climbs the ladder."""
        began = time.perf_counter()
        findings = self.check_codes()
        parity = self.ladder.stripes.scan(deep=deep)
        findings += self.settle(self.ladder.image.scan(deep=deep), parity, repair=repair)
        return Pass(self.pages, time.perf_counter() - began, tuple(findings))

    def settle(self, pages: Sequence[int], parity_pages: Sequence[int] = (), *, repair: bool = True) -> list[Finding]:
        """Findings for what a pass reported, repaired where that is wanted."""
        if repair:
            return self.ladder.repair(pages, parity_pages)
        return self.ladder.tell(pages, parity_pages, "repair is switched off")

    def check_codes(self) -> list[Finding]:
        """Compare both copies of the page codes in memory; a block lost in both is read again from flash.

        The first call tells of blocks as well that had to be restored when the codes were read.
        """
        findings, self._met = self._met + self.ladder.check_codes(), []
        lost = [finding for finding in findings if not finding.repaired]
        if not lost:
            return findings
        with contextlib.suppress(CodesRefused):
            counters = self.ladder.counters
            self.ladder = self._ladder(load(self.settings.codes, self.manifest))
            self.ladder.counters.update(counters)
            self.ladder.counters[Part.CODES, Outcome.UNREPAIRED] -= len(lost)
            self.ladder.counters[Part.CODES, Outcome.FLASH] += len(lost)
            again = [Finding(Part.CODES, finding.number, Outcome.FLASH) for finding in lost]
            return [finding for finding in findings if finding.repaired] + again
        return findings

    def close(self) -> None:
        """Let everything go; the image stays."""
        del self.ladder, self._image, self._parity
        self._stack.close()

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _ladder(self, codes: Codes) -> Ladder:
        parity = Parity(codes.pages, self._parity)
        return Ladder(self._image, codes, parity, self._flash.read, self.tensors)


def _map(path: Path, expected: int) -> memoryview:
    """The file at `path`, mapped shared and writable; the mapping lives as long as a view of it."""
    with path.open("r+b") as file:
        file.seek(0, 2)
        if file.tell() != expected:
            raise ImageRefused(f"{path} is not what its manifest says: expected {expected} bytes, found {file.tell()}.")
        return memoryview(mmap.mmap(file.fileno(), expected))
