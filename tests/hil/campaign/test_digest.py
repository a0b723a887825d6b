"""The table of campaigns: made from their results, and the README's is that one."""

import json
from pathlib import Path

import pytest

from hil.campaign.digest import ORDER, digest, filled
from hil.campaign.plan import load_plan, shipped
from hil.errors import CampaignError

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "docs" / "results" / "campaigns"


def test_the_table_of_the_readme_is_that_of_the_committed_results() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "<!-- campaigns -->\n\n| campaign |" in page
    assert filled(page, RESULTS) == page


def test_every_committed_campaign_was_measured_with_a_command_that_anyone_can_type() -> None:
    for path in RESULTS.glob("*/summary.json"):
        values = json.loads(path.read_text(encoding="utf-8"))
        assert values["kind"] == "measured"
        assert values["command"].startswith(f"orbitlm hil campaign run {values['plan']}")
        assert " /" not in values["command"]


def test_every_shipped_plan_has_a_place_and_a_short_name() -> None:
    known = [name for name in shipped() if name != "all"]
    assert {*ORDER, "quick"} == set(known)
    assert all(load_plan(name).short for name in known)


def test_a_silent_answer_stands_in_its_row(tmp_path: Path) -> None:
    values = json.loads((RESULTS / "kv" / "summary.json").read_text(encoding="utf-8"))
    values["arms"]["protected"]["outcomes"]["silent"] |= {"hits": 7, "high": 0.25}
    (tmp_path / "summary.json").write_text(json.dumps(values), encoding="utf-8")
    assert "| 7 (≤ 25 %) |" in digest([tmp_path])


def test_a_folder_that_is_not_there_and_one_without_a_campaign_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"There is no folder .*/nowhere"):
        digest([tmp_path / "nowhere"])
    with pytest.raises(CampaignError, match="no finished campaign in"):
        digest([tmp_path])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"plan": "kv"}', '{"plan": "kv", "arms": {"protected": 1}}'])
def test_a_damaged_summary_is_named_with_what_helps(text: str, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(text, encoding="utf-8")
    with pytest.raises(CampaignError, match=r"summary.json is damaged \(.*\): make it anew by `report`"):
        digest([tmp_path])


def test_a_bound_is_rounded_up(tmp_path: Path) -> None:
    values = json.loads((RESULTS / "kv" / "summary.json").read_text(encoding="utf-8"))
    values["arms"]["protected"]["outcomes"]["silent"]["high"] = 0.001034
    (tmp_path / "summary.json").write_text(json.dumps(values), encoding="utf-8")
    assert "| 0 (≤ 0.11 %) |" in digest([tmp_path])
