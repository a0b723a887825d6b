"""Plans: what is read, what is refused, and that a trial is a function of (seed, index)."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.campaign.draw import draw_fault
from hil.campaign.forecast import CADET_BYTES, forecast
from hil.campaign.options import Options
from hil.campaign.plan import ArmPlan, Plan, Questions, Stratum, load_plan, parse_plan, shipped
from hil.campaign.question import cadet_questions, questions_from
from hil.campaign.runner import run_plan
from hil.errors import CampaignError
from hil.faults import Fault, Subject
from models import cadet_path
from tests.hil.campaign.rows import Quiet

ONE = 'name = "one"\n[[strata]]\nname = "a"\ncount = 3\n'


def plan_of(counts: list[int]) -> Plan:
    return Plan(name="p", strata=tuple(Stratum(name=f"s{i}", count=c) for i, c in enumerate(counts)))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_any_beginning_of_a_campaign_holds_every_stratum_in_its_share(counts: list[int]) -> None:
    plan = plan_of(counts)
    names = [plan.stratum_of(index).name for index in range(plan.total)]
    assert Counter(names) == {f"s{i}": count for i, count in enumerate(counts)}
    seen: Counter[str] = Counter()
    for done, name in enumerate(names, 1):
        seen[name] += 1
        for stratum in plan.strata:
            assert abs(seen[stratum.name] - stratum.count * done / plan.total) <= len(counts)


def test_beyond_its_number_a_plan_begins_anew() -> None:
    plan = plan_of([3, 5])
    assert [plan.stratum_of(index + plan.total).name for index in range(8)] == [
        plan.stratum_of(index).name for index in range(8)
    ]


def test_the_default_arms_are_protected_and_bare() -> None:
    arms = {arm.name: arm for arm in parse_plan(ONE, "one", "").arm_values()}
    assert arms["protected"].gated
    assert arms["protected"].guarded
    assert not arms["bare"].gated
    assert not arms["bare"].guarded


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 3", "name"),
        (ONE.replace("count = 3", "count = 0"), "plan.toml: stratum 'a' count: "),
        (ONE + '[[strata]]\nname = "b"\n', "stratum 'b' count: Field required"),
        (ONE + "[[strata]]\ncount = 1\n", "stratum 2 name: Field required"),
        (ONE + "what = 1\n", "what"),
        (ONE + "[questions]\nfamilies = []\n", "questions.families: Tuple should have at least 1 item"),
        (ONE + '[[strata]]\nname = "a"\ncount = 1\n', "same name"),
        ("name = ", "TOML"),
        ('name = "x"\nstrata = []\n', "strata"),
        ('name = "x"\nstrata = [1]\n', "stratum 1"),
        (ONE + "[arms.odd.settings.integrity]\npage = false\n", "arms.odd.settings.integrity.page: Extra"),
    ],
)
def test_a_wrong_plan_is_refused_in_a_sentence_that_names_the_value(text: str, said: str) -> None:
    with pytest.raises(CampaignError, match=said):
        parse_plan(text, "plan.toml", "")


def test_an_unknown_plan_names_those_that_there_are() -> None:
    with pytest.raises(CampaignError, match="weights-by-field"):
        load_plan("no-such-plan")


@pytest.mark.parametrize("name", list(shipped()))
def test_every_stratum_of_a_shipped_plan_can_be_drawn_and_gives_the_same_fault_again(name: str) -> None:
    plan = load_plan(name)
    if not Path(plan.model_path).exists():
        plan = plan.model_copy(update={"model": "cadet"})  # a plan for a model that is made first
    assert plan.description
    subject = Subject(cadet_path()).with_answer(tuple(range(5, 45)), tuple(range(50, 90)), "an answer", 0.05)
    for number, stratum in enumerate(plan.strata):
        faults = [draw_fault(stratum, plan.seed, number, subject) for _ in range(2)]
        assert faults[0] == faults[1]
        assert (faults[0] is None) == (stratum.target == "none")
        if faults[0] is not None:
            assert Fault.from_json(faults[0].to_json()) == faults[0]
            assert draw_fault(stratum, plan.seed, number + 1000, subject) != faults[0]


def test_a_stratum_that_cannot_be_drawn_is_named() -> None:
    with pytest.raises(CampaignError, match="Stratum odd"):
        draw_fault(Stratum(name="odd", count=1, where={"colours": ["red"]}), 1, 0, Subject(cadet_path()))


def test_a_dry_run_draws_every_stratum_and_needs_the_model() -> None:
    """What could not be drawn after the golden answers is said before them."""
    strata = (Stratum(name="good", count=1), Stratum(name="odd", count=1, where={"tensors": ["no.such.*"]}))
    plan = Plan(name="p", strata=strata)
    with pytest.raises(CampaignError, match="Stratum odd cannot be drawn"):
        forecast(plan, Options(Path("out")))
    with pytest.raises(CampaignError, match=r"there is no .*/gone.gguf: name one with --model"):
        forecast(plan.model_copy(update={"model": "gone.gguf"}), Options(Path("out")))


def test_a_run_begins_with_what_a_dry_run_looks_at(tmp_path: Path) -> None:
    """Golden answers take minutes: a stratum that this model has nothing for is told before them; nothing is kept."""
    plan = Plan(name="p", strata=(Stratum(name="odd", count=1, where={"tensors": ["no.such.*"]}),))
    with pytest.raises(CampaignError, match="Stratum odd cannot be drawn"):
        run_plan(plan, Options(tmp_path / "out"), Quiet())
    assert not (tmp_path / "out").exists()


def test_a_dry_run_counts_on_the_size_of_the_model(tmp_path: Path) -> None:
    """Decoding reads all weights: what was measured with cadet is no word for a model a hundred times as large."""
    large = tmp_path / "large.gguf"
    shutil.copyfile(cadet_path(), large)
    os.truncate(large, 10 * CADET_BYTES)
    plan = Plan(name="p", strata=(Stratum(name="good", count=4000),))
    (small_time,) = (line for line in forecast(plan, Options(Path("out"))) if line.startswith("Time:"))
    plan = plan.model_copy(update={"model": str(large)})
    (large_time,) = (line for line in forecast(plan, Options(Path("out"))) if line.startswith("Time:"))
    assert "size" not in small_time
    assert "times 10 for the size of this model" in large_time
    minutes = [int(re.search(r"about (\d+) min", line)[1]) for line in (small_time, large_time)]  # type: ignore[index]
    assert abs(minutes[1] - 10 * minutes[0]) <= 10, "rounded to minutes"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "words", [{"at": ("start", "token", "check", "final", "noon")}, {"model": ("single", "two", "page", "row", "nope")}]
)
def test_a_dry_run_draws_every_model_and_instant_of_a_stratum(seed: int, words: dict[str, tuple[str, ...]]) -> None:
    """Whatever the seed: one wrong word in a list is found for certain."""
    plan = Plan.model_validate({"name": "p", "seed": seed, "strata": [{"name": "odd", "count": 1, **words}]})
    with pytest.raises(CampaignError, match="Stratum odd cannot be drawn: There is no"):
        forecast(plan, Options(Path("out")))


@pytest.mark.parametrize(
    "stratum",
    [
        {"where": {"tensors": 5}},
        {"where": {"bits": [[1]]}},
        {"target": "process", "where": {"regions": ["nope"]}},
        {"target": "kv", "where": {"cells": "nope"}},
    ],
)
def test_a_value_that_a_word_does_not_take_is_told_with_its_stratum(stratum: dict[str, Any]) -> None:
    plan = Plan.model_validate({"name": "p", "strata": [{"name": "odd", "count": 1, **stratum}]})
    with pytest.raises(CampaignError, match="Stratum odd cannot be drawn"):
        forecast(plan, Options(Path("out")))


def test_a_dry_run_needs_a_model_that_is_one_and_questions_that_are_there(tmp_path: Path) -> None:
    plan = Plan(name="p", folder=str(tmp_path), strata=(Stratum(name="s", count=1),))
    (tmp_path / "odd.gguf").write_text("no model")
    with pytest.raises(CampaignError, match="not a GGUF file"):
        forecast(plan.model_copy(update={"model": "odd.gguf"}), Options(Path("out")))
    with pytest.raises(CampaignError, match=r"gone\.jsonl"):
        forecast(plan.model_copy(update={"questions": Questions(file="gone.jsonl")}), Options(Path("out")))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 400))
@settings(max_examples=50, deadline=None)
def test_the_shares_that_a_dry_run_lists_are_those_of_the_run(counts: list[int], injections: int) -> None:
    plan = plan_of(counts)
    seen = Counter(plan.stratum_of(index).name for index in range(injections))
    assert plan.shares(injections) == {one.name: seen[one.name] for one in plan.strata}


@pytest.mark.parametrize(
    ("injections", "arms", "time"),
    [(10, "1 arm ", "about 1 s "), (30_000, "1 arm ", "32 min"), (200_000, "1 arm ", "3.6 h")],
)
def test_a_forecast_rounds_as_a_person_would(injections: int, arms: str, time: str) -> None:
    plan = Plan(name="p", arms={"protected": ArmPlan()}, strata=(Stratum(name="s", count=1),))
    head, lasts, *_ = forecast(plan, Options(Path("out"), injections=injections))
    assert arms in head
    assert time in lasts


def test_questions_of_a_file_carry_their_facts_and_patterns(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(
        '{"question": "How many?", "facts": ["two"], "patterns": ["[Tt]wo \\\\w+"]}\n\n{"question": "Why?"}\n'
    )
    first, second = questions_from(path)
    assert (first.right("Two ships, two only."), first.known()) == (2, 2)
    assert (first.right("three"), second.known()) == (0, 0)
    path.write_text('{"question": "x", "patterns": ["("]}\n')
    with pytest.raises(CampaignError, match="Line 1"):
        questions_from(path)


def test_a_longer_list_of_questions_begins_with_the_shorter() -> None:
    assert cadet_questions(("floods",), 9, 1)[:4] == cadet_questions(("floods",), 4, 1)
    with pytest.raises(CampaignError, match="no family 'poems'"):
        cadet_questions(("poems",), 1, 1)
