"""What one check has come to so far, and the word for core that it ends in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from flight.inference.decoder import Interrupt
from flight.inference.prompt import Prompt
from flight.integrity.guard import Pass
from flight.integrity.protocol import Found
from flight.verifier.protocol import Check, Checked, Disagreement, How, Step
from models.manifest import Manifest

Progress = Callable[[Step, int, int], None]
"""Called with (step, done, total) as a check goes on; what it raises ends the check."""

LARGEST: Final = 1000.0
"""What is told of a margin that has no bound: only one token could be chosen."""


@dataclass
class Tally:
    """Of one check; `how` is what decides as far as it has come."""

    check: Check
    progress: Progress
    interrupt: Interrupt
    prompt: Prompt = field(default_factory=lambda: Prompt((), False))
    how: How = "pages"
    passes: list[Pass] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    least_margin: float | None = None
    near_ties: int = 0
    differs_at: int | None = None
    expected: int | None = None
    began: float = field(default_factory=perf_counter)

    @property
    def count(self) -> int:
        """Choices to confirm: every token, and the end where the model itself ended the answer."""
        return len(self.check.token_ids) + (self.check.stop == "eos")

    @property
    def acting(self) -> int:
        """How many findings can have to do with the answer; a damaged parity page is told, and no more."""
        return sum(one.acts for one in self.found)

    @property
    def unrepaired(self) -> bool:
        """Whether some of these could not be repaired: what was computed meanwhile cannot be trusted."""
        return any(one.acts and one.outcome == "unrepaired" for one in self.found)

    @property
    def damaged(self) -> bool:
        """Whether pages of the image were wrong, now repaired or not."""
        return any(one.part == "image" for one in self.found)

    def passed(self, result: Pass, manifest: Manifest) -> None:
        """A pass over the pages of the image of `manifest` is through."""
        self.passes.append(result)
        self.found += [Found.of(finding, manifest) for finding in result.findings]

    def margin(self, margin: float, sure: bool) -> None:
        """The margin of one position, and whether it is large enough."""
        self.near_ties += not sure
        margin = min(margin, LARGEST)
        if self.least_margin is None or margin < self.least_margin:
            self.least_margin = margin

    def result(self, *, agrees: bool, reason: Disagreement = "") -> Checked:
        """The word for core."""
        return Checked(
            id=self.check.id,
            attempt=self.check.attempt,
            agrees=agrees,
            reason=reason,
            how=self.how,
            passes=len(self.passes),
            pages=sum(one.pages for one in self.passes),
            pass_s=sum(one.seconds for one in self.passes),
            findings=tuple(self.found),
            least_margin=self.least_margin,
            near_ties=self.near_ties,
            differs_at=self.differs_at,
            expected=self.expected,
            seconds=perf_counter() - self.began,
        )
