"""The guard lane: what the guard does not find is seen by the proof, before the bench takes the fault back."""

from __future__ import annotations

import pytest

from flight.integrity.guard import Guard
from hil.campaign.bench import Bench
from hil.campaign.outcome import Outcome
from hil.campaign.plan import parse_plan

PLAN = """
name = "guard-test"
lane = "guard"
[questions]
count = 1
[arms.protected]
[[strata]]
name = "uniform"
count = 2
"""


def test_damage_that_the_guard_does_not_find_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(parse_plan(PLAN, "guard-test", "")) as bench:
        assert [row.outcome for row in bench.rows(0)] == [Outcome.CORRECTED]
        with monkeypatch.context() as patch:
            patch.setattr(Guard, "settle", lambda *_: [])
            assert [(row.outcome, row.proven) for row in bench.rows(0)] == [(Outcome.SILENT, "false")]
        assert [row.outcome for row in bench.rows(1)] == [Outcome.CORRECTED]
