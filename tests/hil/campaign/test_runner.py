"""What a campaign does when its bench, its model or its questions are not what they were. No model runs here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hil.campaign import cluster, runner
from hil.campaign.bench import Bench
from hil.campaign.interval import clopper_pearson
from hil.campaign.options import Options
from hil.campaign.outcome import Outcome
from hil.campaign.plan import ArmPlan, Plan, load_plan
from hil.campaign.results import Results
from hil.campaign.row import Row
from hil.errors import CampaignError
from hil.files import write_json
from tests.hil.campaign.rows import GOLDEN, Quiet, row

PLAN = """
name = "own"
[questions]
file = "own.jsonl"
[arms.protected]
[[strata]]
name = "a"
count = 3
"""


class Broken:
    """A bench that fails in the middle of a trial."""

    closed = False

    def rows(self, index: int) -> list[Row]:
        raise CampaignError(f"no row {index}")

    def __exit__(self, *_: object) -> None:
        self.closed = True


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "own.toml").write_text(PLAN)
    (tmp_path / "own.jsonl").write_text('{"question": "Why?"}\n')
    return load_plan(str(tmp_path / "own.toml"))


def run(plan: Plan, out: Path, *, resume: bool = False) -> Results:
    screen: Any = None
    return runner.run_plan(plan, Options(out, workers=0, resume=resume), screen)


def test_a_bench_that_failed_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault may still be in its image, and would be in the next row as well."""
    bench = Broken()
    monkeypatch.setattr(cluster, "_bench", bench)
    with pytest.raises(CampaignError, match="no row 7"):
        cluster.rows_here(7)
    assert bench.closed
    assert cluster._bench is None


def test_a_replay_finds_the_questions_of_its_plan(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie beside the plan, wherever the replay is called."""
    results = Results(tmp_path / "out")
    results.begin(runner.document(plan, Options(tmp_path / "out")), resume=False)
    results.write([row(0)])
    monkeypatch.setattr(Bench, "__enter__", lambda bench: bench)
    monkeypatch.setattr(Bench, "rows", lambda bench, _: bench.plan.ask())
    _, asked = runner.replay(tmp_path / "out", 0)
    assert asked == plan.ask()


def test_other_questions_do_not_join_a_campaign(plan: Plan, tmp_path: Path) -> None:
    """The index chooses among them, so one more makes another campaign of it."""
    Results(tmp_path / "out").begin(runner.document(plan, Options(tmp_path / "out")), resume=False)
    write_json(tmp_path / "out" / "golden.json", {"line-2": dict.fromkeys(_GOLDEN, "") | {"tokens": []}})
    with pytest.raises(CampaignError, match="questions of own are no longer"):
        run(plan, tmp_path / "out", resume=True)


def test_a_run_holds_its_folder_before_it_writes(plan: Plan, tmp_path: Path) -> None:
    """A second campaign is refused, and leaves nothing of its own beside the lock."""
    out = tmp_path / "out"
    with Results(out).held(), pytest.raises(CampaignError, match=f"writing to {out} now"):
        run(plan, out)
    assert [path.name for path in out.iterdir()] == ["lock"]


def test_a_file_that_is_no_model_is_refused_in_a_sentence_and_the_folder_stays_free(plan: Plan, tmp_path: Path) -> None:
    broken = plan.model_copy(update={"model": str(tmp_path / "own.toml")})
    for _ in range(2):
        with pytest.raises(CampaignError, match="not a GGUF file"):
            run(broken, tmp_path / "out")


@pytest.fixture
def half_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bench whose bare arm is wrong in every second row, and whose protected arm never is: the narrow one of both."""
    monkeypatch.setattr(Bench, "__enter__", lambda bench: bench)
    monkeypatch.setattr(Bench, "goldens", lambda bench: {"line-1": GOLDEN})
    monkeypatch.setattr(Bench, "rows", lambda bench, index: [row(index), row(index, "bare", wrong=index % 2 == 0)])


def until(plan: Plan, out: Path, halfwidth: float, *, resume: bool = False, injections: int = 0) -> list[Row]:
    """The rows of both arms when the campaign has stopped."""
    both = plan.model_copy(update={"arms": {"protected": ArmPlan(), "bare": ArmPlan(assurance="none")}})
    options = Options(out, injections=injections, halfwidth=halfwidth, workers=0, resume=resume)
    return runner.run_plan(both, options, Quiet()).rows()


@pytest.mark.usefixtures("half_wrong")
def test_a_campaign_goes_on_until_the_interval_of_every_arm_is_narrow_enough(plan: Plan, tmp_path: Path) -> None:
    """Not of one of them: the protected arm is there after a sixth of the rows that the bare one takes."""
    rows = until(plan, tmp_path / "out", 0.1)
    count = len(rows) // 2
    silent = sum(one.outcome == Outcome.SILENT for one in rows if one.arm == "bare")
    assert clopper_pearson(silent, count).halfwidth <= 0.1 < clopper_pearson(silent - count % 2, count - 1).halfwidth
    assert clopper_pearson(0, count // 4).halfwidth <= 0.1


@pytest.mark.usefixtures("half_wrong")
@pytest.mark.parametrize("injections", [0, 500])
def test_a_campaign_that_is_narrow_enough_already_gets_no_row_more(plan: Plan, tmp_path: Path, injections: int) -> None:
    before = len(until(plan, tmp_path / "out", 0.1))
    assert len(until(plan, tmp_path / "out", 0.1, resume=True, injections=injections)) == before
    assert len(until(plan, tmp_path / "out", 0.09, resume=True, injections=injections)) > before


@pytest.mark.usefixtures("half_wrong")
def test_no_interval_is_narrow_enough_without_a_row(plan: Plan, tmp_path: Path) -> None:
    """All that is possible is one half to either side of one half: a campaign of nothing would have no report."""
    assert until(plan, tmp_path / "out", 0.5)


_GOLDEN = ("question", "tokens", "prompt_tokens", "text", "answer_sha256", "prompt_sha256", "stop", "right")
