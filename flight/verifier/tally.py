"""What one check has come to so far, and the word for core that it ends in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

from flight.inference.decoder import Interrupt
from flight.inference.prompt import Prompt
from flight.integrity.finding import Finding
from flight.integrity.guard import Pass
from flight.verifier.protocol import Check, Checked, Disagreement, Found, How, Step

Progress = Callable[[Step, int, int], None]
"""Called with (step, done, total) as a check goes on; what it raises ends the check."""


@dataclass
class Tally:
    """Of one check; `how` is what decides as far as it has come."""

    check: Check
    progress: Progress
    interrupt: Interrupt
    prompt: Prompt = field(default_factory=lambda: Prompt((), False))
    how: How = "pages"
    passes: list[Pass] = field(default_factory=list)
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
    def findings(self) -> list[Finding]:
        """What the passes found."""
        return [finding for one in self.passes for finding in one.findings]

    @property
    def unrepaired(self) -> bool:
        """Whether some of it could not be repaired."""
        return any(one.unrepaired for one in self.passes)

    def passed(self, result: Pass) -> None:
        """A pass over the pages is through."""
        self.passes.append(result)

    def margin(self, margin: float, sure: bool) -> None:
        """The margin of one position, and whether it is large enough."""
        self.near_ties += not sure
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
            findings=tuple(map(found, self.findings)),
            least_margin=self.least_margin,
            near_ties=self.near_ties,
            differs_at=self.differs_at,
            expected=self.expected,
            seconds=perf_counter() - self.began,
        )


def found(finding: Finding) -> Found:
    """A finding as it goes to core."""
    return Found(
        part=str(finding.part),
        page=finding.number,
        outcome=str(finding.outcome),
        bits=finding.bits,
        places=tuple(map(str, finding.places)),
        tensors=finding.tensors,
        sentence=finding.sentence(),
    )
