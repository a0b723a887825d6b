"""The fast lane with real engine and verifier: what the protection catches, and what it misses switched off."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hil.campaign.bench import Bench
from hil.campaign.outcome import Outcome
from hil.campaign.plan import parse_plan
from hil.campaign.question import Golden
from hil.campaign.row import Row
from hil.errors import CampaignError

pytestmark = pytest.mark.slow

PLAN = """
name = "lane-test"
seed = 11
[questions]
families = ["closed-book", "floods"]
count = 4
max_prompt_chars = 120

[arms.protected]
[arms.bare]
assurance = "none"
settings.integrity = { pages = false, replay = false }
[arms.no-pages]
settings.integrity = { pages = false }
[arms.no-repair]
settings.integrity = { repair = false }
[arms.no-replay]
settings.integrity = { replay = false }

[[strata]]
name = "scale"
count = 3
where = { roles = ["scale"], bits = [14] }
[[strata]]
name = "page"
count = 1
model = ["page"]
[[strata]]
name = "kv"
count = 4
target = "kv"
at = ["token"]
where = { process = "engine", bits = [13, 14], cells = "prompt" }
[[strata]]
name = "compute"
count = 3
target = "compute"
at = ["token"]
where = { process = "engine", tensors = ["result_output"], bits = [30] }
[[strata]]
name = "guard"
count = 1
target = "parity"
[[strata]]
name = "healed"
count = 3
at = ["start..done"]
where = { roles = ["scale"], bits = [14] }
[[strata]]
name = "clean"
count = 1
target = "none"
"""
MEMORY = """
name = "memory-test"
seed = 7
[questions]
families = ["closed-book"]
count = 2
[arms.protected]
[[strata]]
name = "vocabulary"
count = 3
target = "process"
at = ["token"]
where = { process = "engine", regions = ["vocabulary"] }
[[strata]]
name = "tensors"
count = 2
target = "process"
at = ["token"]
where = { process = "engine", regions = ["tensors"] }
[[strata]]
name = "tokens"
count = 2
target = "process"
at = ["check"]
where = { process = "verifier", regions = ["tokens"] }
[[strata]]
name = "registers of the engine"
count = 3
target = "registers"
at = ["token"]
where = { process = "engine" }
[[strata]]
name = "registers of the verifier"
count = 3
target = "registers"
at = ["check-token"]
where = { process = "verifier" }
[[strata]]
name = "by rate"
count = 2
model = ["poisson:rate=1e-6"]
"""
ONCE = """
name = "once"
seed = 5
[questions]
families = ["closed-book"]
count = 1
[arms.protected]
"""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench(parse_plan(PLAN, "lane-test", "")) as opened:
        yield opened


@pytest.fixture(scope="module")
def rows(bench: Bench) -> list[Row]:
    return [row for index in range(bench.plan.total) for row in bench.rows(index)]


def outcomes(rows: list[Row], arm: str, *strata: str) -> list[str]:
    return [row.outcome for row in rows if row.arm == arm and (not strata or row.stratum in strata)]


def test_nothing_is_silent_when_protected_and_the_same_faults_are_when_bare(rows: list[Row]) -> None:
    protected, bare = outcomes(rows, "protected"), outcomes(rows, "bare")
    assert Outcome.SILENT not in protected
    assert bare.count(Outcome.SILENT) >= 3
    assert all(row.verdict == "verified" and row.same for row in rows if row.arm == "protected")


def test_an_answer_that_was_taken_from_another_run_has_no_time_of_its_own(rows: list[Row]) -> None:
    """That run took the gate's time as well."""
    taken = [row for row in rows if row.how == "same run"]
    assert taken
    assert all(math.isnan(row.seconds) for row in taken)


def test_faults_of_the_weights_are_repaired_and_the_answer_made_again(rows: list[Row]) -> None:
    assert set(outcomes(rows, "protected", "scale", "page")) <= {Outcome.RECOMPUTED, Outcome.CORRECTED}
    assert Outcome.RECOMPUTED in outcomes(rows, "protected", "scale")
    found = [row for row in rows if row.arm == "protected" and row.stratum in ("scale", "page", "guard")]
    assert all(row.proven == "true" and row.repaired_by for row in found)


def test_a_flip_that_nobody_finds_is_proven_to_be_there_still(rows: list[Row]) -> None:
    stands = [row for row in rows if row.arm == "no-pages" and row.stratum == "scale"]
    assert {row.proven for row in stands} == {"false"}
    assert all("still damaged afterwards: image" in row.note for row in stands)


def test_transient_faults_are_taken_back_by_the_gate(rows: list[Row]) -> None:
    gone = ("healed", "kv", "compute")  # nothing of it is left when the gate looks
    struck = [row for row in rows if row.stratum in gone and row.arm == "bare" and row.outcome == "silent"]
    assert struck
    for row in struck:
        (gated,) = [one for one in rows if one.index == row.index and one.arm == "protected"]
        assert gated.outcome == Outcome.RECOMPUTED
        assert gated.restarts >= 2


def test_a_flip_that_heals_before_the_gate_looks_is_caught_all_the_same(rows: list[Row]) -> None:
    for bare, protected in zip(outcomes(rows, "bare", "healed"), outcomes(rows, "protected", "healed"), strict=True):
        assert (bare == Outcome.SILENT) == (protected == Outcome.RECOMPUTED)
    assert Outcome.SILENT in outcomes(rows, "bare", "healed")


def test_clean_answers_raise_no_alarm(rows: list[Row]) -> None:
    assert {row.outcome for row in rows if row.stratum == "clean"} == {Outcome.CLEAN}


def test_without_page_codes_the_gate_repeats_the_damage(rows: list[Row]) -> None:
    assert Outcome.SILENT in outcomes(rows, "no-pages", "scale")
    assert Outcome.CORRECTED not in outcomes(rows, "no-pages", "page", "guard")


def test_without_repair_damage_is_told_and_nothing_released(rows: list[Row]) -> None:
    assert set(outcomes(rows, "no-repair", "scale")) == {Outcome.REFUSED}
    reasons = {row.reason for row in rows if row.arm == "no-repair" and row.stratum == "scale"}
    assert reasons <= {"unrepaired", "verifier_lost"}  # over this damage a new verifier fails its self-test


def test_without_the_replay_transient_faults_are_silent(rows: list[Row]) -> None:
    assert Outcome.SILENT in outcomes(rows, "no-replay", "healed", "kv", "compute")
    assert outcomes(rows, "no-replay", "healed") == outcomes(rows, "bare", "healed")


def test_the_same_index_gives_the_same_rows_again(bench: Bench, rows: list[Row]) -> None:
    for index in (0, bench.plan.total - 1):
        before = [row for row in rows if row.index == index]
        assert [one.identity() for one in bench.rows(index)] == [one.identity() for one in before]


def test_a_golden_answer_that_another_machine_gave_stops_the_campaign(bench: Bench) -> None:
    known = {name: replace(golden, tokens=(1, *golden.tokens)) for name, golden in bench.goldens().items()}
    with Bench(bench.plan, known) as other, pytest.raises(CampaignError, match="rounds otherwise"):
        other.goldens()


def test_golden_runs_that_differ_stop_the_campaign(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from hil.campaign.fast import FastLane

    made: list[Golden] = []
    answer = FastLane._answer

    def drifting(self: FastLane, *arguments: object) -> Golden:
        golden = answer(self, *arguments)  # type: ignore[arg-type]
        made.append(golden)
        return golden if len(made) == 1 else replace(golden, tokens=golden.tokens[:-1])

    monkeypatch.setattr(FastLane, "_answer", drifting)
    lane = bench._lane
    assert lane is not None
    with pytest.raises(CampaignError, match="differ"):
        lane.golden(bench._questions[0])


@pytest.mark.parametrize(
    ("stratum", "expected"),
    [
        ('target = "crash"\nat = ["token"]\nwhere = { process = "engine" }', Outcome.CRASH_RECOVERED),
        ('target = "crash"\nat = ["check"]\nwhere = { process = "verifier" }', Outcome.CRASH_RECOVERED),
        ('target = "hang"\nat = ["token"]\nwhere = { process = "engine" }', Outcome.HANG_RECOVERED),
        (
            'target = "process"\nat = ["token"]\nwhere = { process = "engine", regions = ["tensors"], '
            'items = ["blk.0.attn_q.weight"], fields = ["data"] }',
            Outcome.CRASH_RECOVERED,
        ),
    ],
)
def test_a_lost_process_is_replaced_and_the_answer_is_right(stratum: str, expected: Outcome) -> None:
    options = "[options]\nsilence_s = 2.0\n" if expected is Outcome.HANG_RECOVERED else ""
    text = f'{ONCE}{options}[[strata]]\nname = "s"\ncount = 1\n{stratum}\n'
    with Bench(parse_plan(text, "once", "")) as one:
        (row,) = one.rows(0)
    assert (row.outcome, row.same, row.verdict) == (expected, True, "verified"), row
    assert re.search("crash|hang", row.detected_by)


def test_memory_registers_and_upsets_by_rate_change_no_answer() -> None:
    """Each stratum of `process` and `weights-by-rate` in the small: the golden answer, or none."""
    with Bench(parse_plan(MEMORY, "memory-test", "")) as opened:
        rows = [row for index in range(opened.plan.total) for row in opened.rows(index)]
    assert {row.stratum for row in rows if row.activated} == {stratum.name for stratum in opened.plan.strata}
    assert all(row.same or row.verdict != "verified" for row in rows)
    assert Outcome.SILENT not in outcomes(rows, "protected")
    assert {row.outcome for row in rows if row.stratum == "by rate"} <= {Outcome.RECOMPUTED, Outcome.CORRECTED}


def test_a_model_that_does_not_end_is_cut_and_its_cut_answers_are_verified() -> None:
    text = f'{ONCE}[options]\nmax_tokens = 5\n[[strata]]\nname = "s"\ncount = 1\ntarget = "none"\n'
    with Bench(parse_plan(text, "once", "")) as one:
        (row,) = one.rows(0)
        assert {(len(golden.tokens), golden.stop) for golden in one.goldens().values()} == {(5, "length")}
    assert (row.outcome, row.same, row.verdict) == (Outcome.CLEAN, True, "verified"), row
