"""Rows and a screen for tests that need no model."""

from __future__ import annotations

from hil.campaign.lane import Arm, Trial
from hil.campaign.outcome import Evidence
from hil.campaign.question import Golden, Question
from hil.campaign.row import Row, make_row
from hil.campaign.runner import Tally

QUESTION = Question(id="q", family="floods", task="over", question="?", facts=("two",))
GOLDEN = Golden("q", (1, 2, 3), 9, "two", "", "", "eos", right=1)


def row(index: int, arm: str = "protected", *, wrong: bool = False, stratum: str = "s") -> Row:
    trial = Trial(index, stratum, None, "", QUESTION, GOLDEN)
    verdict = "verified" if arm == "protected" else "unchecked"
    evidence = Evidence(
        answer="three" if wrong else "two",
        tokens=(1, 9, 3) if wrong else (1, 2, 3),
        verdict=verdict,
        seconds=0.1,
        labels={"target": "weights", "model": "single", "at": "start", "type": "Q8_0", "role": "scale", "bit": "14"},
    )
    return make_row(trial, Arm(arm), "fast", evidence)


class Quiet:
    """A screen that nobody looks at."""

    def golden(self, answers: int) -> None:
        pass

    def row(self, tally: Tally, total: int) -> None:
        pass
