"""The table of campaigns: made from their results, and the README's is that one."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from hil.campaign.digest import ORDER, digest, fields, filled
from hil.campaign.interval import clopper_pearson
from hil.campaign.plan import load_plan, shipped
from hil.errors import CampaignError

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "docs" / "results" / "campaigns"


@pytest.fixture
def kv(tmp_path: Path) -> Path:
    """A folder for a summary, with the plan of `kv` as it was run."""
    shutil.copy(RESULTS / "kv" / "campaign.json", tmp_path)
    return tmp_path


def test_the_table_of_the_readme_is_that_of_the_committed_results() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "<!-- campaigns -->\n\n| campaign |" in page
    assert "<!-- fields weights-by-field -->\n\n| field of the GGUF |" in page
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


def test_a_silent_answer_stands_in_its_row(kv: Path) -> None:
    values = json.loads((RESULTS / "kv" / "summary.json").read_text(encoding="utf-8"))
    values["arms"]["protected"]["outcomes"]["silent"] |= {"hits": 7, "high": 0.25}
    (kv / "summary.json").write_text(json.dumps(values), encoding="utf-8")
    assert "| 7 (≤ 25 %) |" in digest([kv])


def test_a_folder_that_is_not_there_and_one_without_a_campaign_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"There is no folder .*/nowhere"):
        digest([tmp_path / "nowhere"])
    with pytest.raises(CampaignError, match="no finished campaign in"):
        digest([tmp_path])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"plan": "kv"}', '{"plan": "kv", "arms": {"protected": 1}}'])
def test_a_damaged_summary_is_named_with_what_helps(text: str, kv: Path) -> None:
    (kv / "summary.json").write_text(text, encoding="utf-8")
    with pytest.raises(CampaignError, match=r"summary.json is damaged \(.*\): make it anew by `report`"):
        digest([kv])


def test_the_map_of_fields_tells_the_bits_that_hurt_and_sums_up_the_others(kv: Path) -> None:
    def cell(hits: int, trials: int, **what: object) -> dict[str, object]:
        return {**what, "refused": hits + 1, **asdict(clopper_pearson(hits, trials))}

    scale, weight = {"type": "Q8_0", "role": "scale"}, {"type": "Q8_0", "role": "weight"}
    tables = {
        "role": {"bare": [cell(60, 300, **scale), cell(1, 900, **weight)]},
        "bit": {"bare": [cell(0, 100, **scale, bit=0), cell(1, 100, **scale, bit=1), cell(59, 100, **scale, bit=14)]},
    }
    (kv / "summary.json").write_text(json.dumps({"tables": tables}), encoding="utf-8")
    found = [line.split(" | ")[:2] for line in fields(kv).splitlines()[2:]]
    names = ["Q8_0 scale", "Q8_0 scale, bit 14", "Q8_0 scale, its 2 other bits", "Q8_0 weight"]
    assert found == [[f"| {name}", count] for name, count in zip(names, ["300", "100", "200", "900"], strict=True)]
    assert "1 of 200 = 0.5 %" in fields(kv)


def test_a_bound_is_rounded_up(kv: Path) -> None:
    values = json.loads((RESULTS / "kv" / "summary.json").read_text(encoding="utf-8"))
    values["arms"]["protected"]["outcomes"]["silent"]["high"] = 0.001034
    (kv / "summary.json").write_text(json.dumps(values), encoding="utf-8")
    assert "| 0 (≤ 0.11 %) |" in digest([kv])


def test_a_plan_of_ones_own_is_told_by_its_own_arms(kv: Path) -> None:
    """Neither its name nor those of its arms are among those that are shipped."""
    text = (RESULTS / "kv" / "summary.json").read_text(encoding="utf-8")
    plan = (kv / "campaign.json").read_text(encoding="utf-8")
    for old, new in (('"kv"', '"mine"'), ('"protected"', '"shielded"'), ('"bare"', '"open"')):
        text, plan = text.replace(old, new), plan.replace(old, new)
    (kv / "summary.json").write_text(text, encoding="utf-8")
    (kv / "campaign.json").write_text(plan, encoding="utf-8")
    assert digest([kv]).splitlines()[2].startswith("| `mine`: KV cache of engine and verifier | 5,500 |")
