"""A campaign's folder: shards whole or not there, resumed only by the same campaign, read as a DataFrame."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet as pq
import pytest
from pandas import DataFrame

import hil
from hil.campaign.figures import kinds_of
from hil.campaign.lane import Arm, Trial
from hil.campaign.outcome import Evidence
from hil.campaign.plan import Plan, Stratum
from hil.campaign.report import write_report
from hil.campaign.results import SCHEMA, Results, load_results
from hil.campaign.row import Row, make_row
from hil.campaign.summary import fair, summarize
from hil.errors import CampaignError
from tests.hil.campaign.rows import GOLDEN, QUESTION, row

PLAN: dict[str, Any] = {"name": "p", "strata": [{"name": "s", "count": 9}]}
DOCUMENT: dict[str, Any] = {
    "schema": SCHEMA,
    "plan": PLAN,
    "model": "m.gguf",
    "model_sha256": "a" * 64,
    "model_bytes": 1000,
    "threads": 1,
    "versions": {},
}


def begun(folder: Path) -> Results:
    results = Results(folder)
    results.begin(DOCUMENT, resume=False)
    return results


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    results = begun(tmp_path)
    results.write([row(1), row(1, "bare", wrong=True)])
    results.write([row(0)])
    found = results.rows()
    assert [(one.index, one.arm) for one in found] == [(0, "protected"), (1, "bare"), (1, "protected")]
    assert found[2].same_as(row(1))
    assert not found[1].same_as(row(1, "bare"))
    assert results.done(["protected"]) == {0, 1}
    assert results.done(["protected", "bare"]) == {1}


def test_a_replay_need_not_see_the_lost_in_the_same_order_nor_the_same_bytes_of_a_living_process() -> None:
    """Who was lost must be the same, and in a process the region and what came of it."""
    one = replace(row(1), crashed="scrubber engine", changed="7f00:3", bits=1)
    assert one.same_as(replace(one, crashed="engine scrubber"))
    assert not one.same_as(replace(one, crashed="engine"))
    assert not one.same_as(replace(one, changed="7f08:3"))
    living = replace(one, target="process")
    assert living.same_as(replace(living, changed="7f08:3", bits=2))
    assert not living.same_as(replace(living, outcome="silent"))


def test_a_row_that_was_done_twice_counts_once(tmp_path: Path) -> None:
    results = begun(tmp_path)
    results.write([row(4)])
    results.write([row(4), row(5)])
    assert [one.index for one in results.rows()] == [4, 5]


def test_what_a_killed_campaign_was_writing_is_not_read(tmp_path: Path) -> None:
    results = begun(tmp_path)
    results.write([row(0)])
    (tmp_path / "rows" / ".000001.parquet").write_bytes(b"PAR1 half a shard")
    assert [one.index for one in results.rows()] == [0]
    results.begin(DOCUMENT, resume=True)
    assert not list((tmp_path / "rows").glob(".*"))


def test_a_folder_is_not_overwritten_and_resumed_only_by_its_own_campaign(tmp_path: Path) -> None:
    begun(tmp_path)
    with pytest.raises(CampaignError, match="--resume"):
        Results(tmp_path).begin(DOCUMENT, resume=False)
    Results(tmp_path).begin({**DOCUMENT, "command": "another"}, resume=True)
    with pytest.raises(CampaignError, match="its model_sha256 differs"):
        Results(tmp_path).begin({**DOCUMENT, "model_sha256": "b" * 64}, resume=True)


def test_two_campaigns_never_write_to_one_folder(tmp_path: Path) -> None:
    """The lock goes with the process that held it: one that was killed leaves the folder free."""
    script = "import sys, time, pathlib; from hil.campaign.results import Results\n"
    script += "with Results(pathlib.Path(sys.argv[1])).held(): print('held', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(CampaignError, match=f"writing to {tmp_path} now"), Results(tmp_path).held():
            pass
        other.kill()
    with Results(tmp_path).held():
        pass


def test_rows_that_only_the_report_holds_are_joined_by_new_ones(tmp_path: Path) -> None:
    results = begun(tmp_path)
    results.write([row(0), row(0, "bare")])
    write_report(tmp_path)
    shutil.rmtree(results.shards)
    results.begin(DOCUMENT, resume=True)
    results.write([row(1), row(1, "bare")])
    assert results.done(["protected", "bare"]) == {0, 1}


def test_who_goes_on_at_another_commit_is_told(tmp_path: Path) -> None:
    begun(tmp_path).write([row(0), row(0, "bare")])
    Results(tmp_path).begin(DOCUMENT, resume=True)
    assert "resumed" not in Results(tmp_path).document()
    Results(tmp_path).begin({**DOCUMENT, "commit": "c0ffee", "started": "later"}, resume=True)
    assert [part["commit"] for part in write_report(tmp_path).values["resumed"]] == ["c0ffee"]
    assert "c0ffee" in (tmp_path / "report.html").read_text()


def test_a_campaign_that_failed_before_its_first_row_leaves_its_folder_free(tmp_path: Path) -> None:
    results = begun(tmp_path)
    results.forget()
    results.begin(DOCUMENT, resume=False)
    results.write([row(0)])
    results.forget()
    assert results.document() == DOCUMENT


def test_results_load_as_a_data_frame(tmp_path: Path) -> None:
    begun(tmp_path).write([row(index, arm) for index in range(3) for arm in ("protected", "bare")])
    frame = hil.load_results(tmp_path)
    assert len(frame) == 6
    assert frame.groupby("arm").size().to_dict() == {"bare": 3, "protected": 3}
    with pytest.raises(CampaignError, match="no campaign"):
        load_results(tmp_path / "nowhere")


def test_a_report_is_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    rows = [
        row(index, arm, wrong=arm == "bare" and index % 2 == 0) for index in range(8) for arm in ("protected", "bare")
    ]
    begun(tmp_path).write(rows)
    summary = write_report(tmp_path).values
    silent = summary["arms"]["bare"]["outcomes"]["silent"]
    assert (silent["hits"], silent["trials"]) == (4, 8)
    assert summary["arms"]["bare"]["task_wrong"]["hits"] == 4
    assert summary["arms"]["protected"]["outcomes"]["silent"]["hits"] == 0
    assert summary["tables"]["bit"]["bare"][0]["bit"] == 14
    assert summary["mission"]["points"][0]["rate"] == pytest.approx(1e-11)
    page = (tmp_path / "report.html").read_text()
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page.replace("http-equiv", "")
    assert {"outcomes.png", "outcomes.svg", "mission.png"} <= {path.name for path in (tmp_path / "figures").iterdir()}
    assert (tmp_path / "rows.csv").read_text().count("\n") == 17


def fated(index: int, lane: str = "flight", **fate: bool) -> Row:
    """A row of a signal to a process, and what befell its queries."""
    labels = {"target": "crash", "kind": "SIGKILL", "process": "engine"}
    evidence = Evidence(answer="two", verdict="verified", gated=True, labels=labels, **fate)  # type: ignore[arg-type]
    return make_row(Trial(index, "s", None, "", QUESTION, GOLDEN), Arm("protected"), lane, evidence)


def cells(page: str, head: str) -> str:
    """The line of the outcome table that begins so, without its tags."""
    found = re.search(rf"<tr><td>{head}</td>(.*?)</tr>", page)
    return re.sub("<[^>]+>", "", found[1]) if found else ""


def test_what_must_not_happen_stands_in_the_report_when_it_did_not(tmp_path: Path) -> None:
    begun(tmp_path).write([fated(index) for index in range(4)])
    summary = write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    for head in ("silent", "unrecoverable", "with a query that was lost", "with a query that was doubled"):
        assert cells(page, head).startswith("0 of 4 = 0 %")
    assert "lost 0 of 4" in "\n".join(summary.lines())


def test_lost_and_doubled_queries_are_told_apart(tmp_path: Path) -> None:
    """And from a process that did not come back."""
    begun(tmp_path).write([fated(0, lost=True), fated(1, doubled=True, lost=True), fated(2, dead=True), fated(3)])
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    found = [
        cells(page, head)[:6] for head in ("unrecoverable", "with a query that was lost", "with a query that was d.*?")
    ]
    assert found == ["3 of 4", "2 of 4", "1 of 4"]


def test_a_lane_that_keeps_no_queries_tells_of_none_lost_or_doubled(tmp_path: Path) -> None:
    begun(tmp_path).write([fated(0, "fast")])
    write_report(tmp_path)
    assert "with a query that was" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("spoiled", "lost"), [(False, 0), (True, None)])
def test_rows_from_before_fates_were_kept_are_read_and_tell_what_their_class_does(
    tmp_path: Path, *, spoiled: bool, lost: int | None
) -> None:
    """An unrecoverable one may have been lost, doubled, or neither; any other was not."""
    results = begun(tmp_path)
    results.write([fated(0), fated(1, doubled=spoiled)])
    (shard,) = results.shards.iterdir()
    pq.write_table(pq.read_table(shard).drop_columns(["fate"]), shard)
    results.write([fated(2)])
    found = write_report(tmp_path).values["arms"]["protected"]["lost"]
    assert (found and found["hits"]) == lost
    assert results.rows()[1].same_as(fated(1, doubled=spoiled))


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (("weights", "codes"), "kind of tensor"),
        (("crash", "hang"), "signal"),
        (("storage",), "kind of damage"),
        (("registers", "process"), "region of memory or register"),
        (("own",), "kind (own)"),
        (("none",), "kind"),
    ],
)
def test_a_caption_says_what_the_kinds_of_its_targets_are(targets: tuple[str, ...], said: str) -> None:
    kinds = ["" if target in ("codes", "none") else "x" for target in targets]
    assert kinds_of(DataFrame({"target": targets, "kind": kinds})) == said


def test_the_report_of_signals_shows_them_as_signals(tmp_path: Path) -> None:
    begun(tmp_path).write([fated(0)])
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "Silent corruptions by signal, with 95 % intervals" in page
    assert "kind of tensor" not in page


@pytest.mark.parametrize("verdict", ["verified", "unchecked"])
def test_a_silent_answer_without_any_fault_is_told_whole(tmp_path: Path, verdict: str) -> None:
    """Nothing was injected, so nothing was activated: it counts among the injections, and stands in the report."""
    trial = Trial(0, "s", None, "", QUESTION, GOLDEN)
    evidence = Evidence(answer="thr33", verdict=verdict, gated=True, injected=False, activated=False)
    begun(tmp_path).write([make_row(trial, Arm("protected"), "fast", evidence), row(0, "bare")])
    values = write_report(tmp_path).values
    assert values["arms"]["protected"]["outcomes"]["silent"]["hits"] == 1
    assert values["arms"]["protected"]["silent_activated"]["trials"] == 0
    assert "thr33" in (tmp_path / "report.html").read_text()


def test_the_mission_rests_on_an_arm_that_has_a_gate(tmp_path: Path) -> None:
    """Not on the first that asks for one and has it switched off."""
    arms = {"off": {"settings": {"integrity": {"replay": False}}}, "bare": {"assurance": "none"}, "protected": {}}
    results = Results(tmp_path)
    results.begin({**DOCUMENT, "plan": {**PLAN, "arms": arms}}, resume=False)
    results.write([row(0, arm, wrong=arm != "protected") for arm in arms])
    assert write_report(tmp_path).values["mission"]["protected"]["hits"] == 0


STRATA = {
    "all": {},
    "scale": {"where": {"types": ["Q8_0"], "roles": ["scale"]}},
    "high": {"where": {"roles": ["scale"], "bits": [14]}},
    "head": {"where": {"tensors": ["token_embd.weight"]}},
    "first": {"where": {"tensors": ["blk.0.ffn_up.weight"]}},
    "norms": {"where": {"tensors": ["*norm*"], "roles": ["scale"]}},
    "cache": {"target": "kv", "where": {"process": "engine"}},
    "cache of the verifier": {"target": "kv", "where": {"process": "verifier"}},
    "high cache": {"target": "kv", "where": {"process": "engine", "bits": [14]}},
    "signals": {"target": "crash", "where": {"signals": ["SIGKILL"]}},
}


@pytest.mark.parametrize(
    ("columns", "strata"),
    [
        (["stratum"], set(STRATA)),
        (["type", "role"], {"all", "scale", "cache", "signals"}),
        (["type", "role", "bit"], {"all", "scale", "high", "cache", "high cache", "signals"}),
        (["kind"], {"all", "head", "cache", "signals"}),
        (["kind", "type", "role"], {"all", "scale", "head", "norms", "cache", "signals"}),
        (["layer"], {"all", "cache", "signals"}),
    ],
)
def test_a_map_counts_no_stratum_that_chose_its_places_by_something_else(columns: list[str], strata: set[str]) -> None:
    """Flips of high bits alone would make a field worse than it is, an embedding's scales a kind of tensor."""
    plan = Plan(name="p", strata=tuple(Stratum.model_validate({"name": k, "count": 1, **v}) for k, v in STRATA.items()))
    rows = [
        {"stratum": one, "target": STRATA[one].get("target", "weights"), "model": "single", "at": "start"}
        for one in STRATA
    ]
    frame = pandas.DataFrame(rows)
    assert set(fair(frame, plan, columns).stratum) == strata


def test_a_map_counts_single_bits_that_are_there_from_the_start() -> None:
    """A flip that comes with the last token, or heals, says little of its field; nor does one bit of a burst."""
    plan = Plan(name="p", strata=(Stratum(name="all", count=1),))
    ways = [("weights", model, at) for model in ("single", "upset", "page") for at in ("start", "token", "start..done")]
    rows = [{"stratum": "all", "target": target, "model": model, "at": at} for target, model, at in ways]
    kept = fair(pandas.DataFrame(rows), plan, ["type", "role"])
    assert [(one.model, one.at) for one in kept.itertuples()] == [("single", "start")]


def test_the_tables_of_a_summary_are_of_fair_rows(tmp_path: Path) -> None:
    """Of four wrong answers two came from a stratum of scales, which says nothing of a kind of tensor."""
    plan = DOCUMENT["plan"] | {
        "strata": [{"name": "s", "count": 4}, {"name": "t", "count": 4, "where": {"roles": ["scale"]}}]
    }
    results = Results(tmp_path)
    results.begin({**DOCUMENT, "plan": plan}, resume=False)
    results.write([replace(row(n, "bare", wrong=n % 2 == 0, stratum="st"[n // 4]), kind="up") for n in range(8)])
    tables = summarize(load_results(tmp_path), results.document()).values["tables"]
    assert [(one["hits"], one["trials"]) for one in tables["kind"]["bare"]] == [(2, 4)]
    assert [(one["hits"], one["trials"]) for one in tables["stratum"]["bare"]] == [(2, 4), (2, 4)]
    assert [one["trials"] for one in tables["bit"]["bare"]] == [8], "what is chosen by role may be told by role"


def test_a_question_that_is_asked_again_is_no_new_witness_of_no_false_alarm(tmp_path: Path) -> None:
    """Six clean answers to two questions, an alarm in two answers to one of them: one of two."""
    evidence = Evidence(answer="two", verdict="verified", gated=True, injected=False, activated=False)
    results = begun(tmp_path)
    for index in range(6):
        question = replace(QUESTION, id="ab"[index % 2])
        alarm = replace(evidence, restarts=1) if index in (0, 2) else evidence
        trial = Trial(index, "s", None, "", question, GOLDEN)
        results.write([make_row(trial, Arm("protected"), "fast", alarm), row(index, "bare")])
    arm = summarize(load_results(tmp_path), DOCUMENT).values["arms"]["protected"]
    assert (arm["outcomes"]["false-alarm"]["hits"], arm["outcomes"]["false-alarm"]["trials"]) == (2, 6)
    assert (arm["alarmed_questions"]["hits"], arm["alarmed_questions"]["trials"]) == (1, 2)
