"""What a campaign does when its bench, its model or its questions are not what they were. No model runs here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hil.campaign import cluster, runner
from hil.campaign.bench import Bench
from hil.campaign.options import Options
from hil.campaign.plan import Plan, load_plan
from hil.campaign.results import Results
from hil.campaign.row import Row
from hil.errors import CampaignError
from hil.files import write_json
from tests.hil.campaign.rows import row

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


_GOLDEN = ("question", "tokens", "prompt_tokens", "text", "answer_sha256", "prompt_sha256", "stop", "right")
