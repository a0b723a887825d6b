"""What the demo tells: right or wrong, whole or not, in time or not; the table, the figure, the JSON fields."""

from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hil.demo.rates import Rates, load_rates
from hil.demo.report import amount, comparable, evidence, legs_table, tell
from hil.demo.result import Result
from hil.demo.timeline import draw_timeline, ending
from hil.errors import BenchError
from hil.scenario import QuestionModel, Scenario, load_scenario

QWEN = Rates("Qwen3-0.6B Q8_0", prefill=100.0, decode=10.0, date="2026-11-20", machine="a machine")


@pytest.fixture(name="scenario", scope="module")
def _scenario() -> Scenario:
    return load_scenario("one-pass")


def result(scenario: Scenario, *, start: float = 25.0, leg: str = "DELIVERED", answer: str = "Dark 1: V4.") -> Result:
    """A query asked at `start` that took 3.5 s: 0.5 queued, 1 prefill, 2 decode."""
    names = ("QUEUED", "PREFILL", "DECODE", leg)
    moments = (start, start + 0.5, start + 1.5, start + 3.5)
    times = {
        name: datetime.fromtimestamp(scenario.epoch_s + at, UTC).isoformat()
        for name, at in zip(names, moments, strict=True)
    }
    query: dict[str, Any] = {
        "id": "00000000000000ff",
        "answer": answer,
        "leg": leg,
        "verdict": "UNCHECKED",
        "total_s": 3.5,
        "legs": {"QUEUED": 0.5, "PREFILL": 1.0, "DECODE": 2.0},
        "times": times,
        "tokens": 40,
        "model": "cadet",
        "bytes": {"scene": 210, "up": 162, "down": 2558},
        "receipt": {"prompt_tokens": 200},
    }
    return Result(QuestionModel(ask="Which vessels are dark?", facts=("Dark 1: V4.",)), True, query)


def text(renderable: object) -> str:
    """What a console of 120 columns prints of it."""
    out = StringIO()
    Console(file=out, width=120).print(renderable)
    return out.getvalue()


def test_the_check_of_a_larger_model_takes_its_own_time(scenario: Scenario) -> None:
    """Replaying prompt and answer is a prefill at that model's rate; where nothing was checked nothing is added."""
    checked = result(scenario)
    assert "CHECKING" not in QWEN.cycle(checked)
    checked.query["legs"] = {**checked.legs, "CHECKING": 0.05}
    assert QWEN.cycle(checked)["CHECKING"] == pytest.approx((200 + 40) / 100.0)


def test_a_right_whole_answer_in_time_has_no_fault(scenario: Scenario) -> None:
    """And each of the three things that can be wrong is named."""
    assert result(scenario).faults(120) == []
    assert result(scenario, answer="Dark 0.").faults(120) == ["'Dark 1: V4.' is missing"]
    assert result(scenario).faults(3) == ["3.5 s is over the budget of 3 s"]
    assert result(scenario, leg="FAILED").faults(120) == ["FAILED instead of DELIVERED"]


def test_facts_are_not_looked_for_where_they_are_not_known(scenario: Scenario) -> None:
    """With another model than cadet an answer can only be whole."""
    other = result(scenario, answer="It is raining.")
    other.checked = False
    assert other.faults(120) == []
    assert "whole (facts unknown, so not checked)" in told(scenario, other)


def told(scenario: Scenario, *results: Result) -> str:
    """The whole report."""
    out = StringIO()
    link = {"up": {"bytes": 276, "frames": 2}, "down": {"bytes": 12_790, "frames": 10}}
    lines = evidence(scenario, seed=7, speed=5, machine="m", rates=QWEN)
    tell(Console(file=out, width=140), scenario, results, QWEN, link, lines)
    return out.getvalue()


def test_the_second_column_takes_the_other_models_rates_for_prefill_and_decode_only(scenario: Scenario) -> None:
    """200 tokens at 100/s and 40 at 10/s beside the 0.5 s that stay: 6.5 s, which fits; a 300-token answer takes
    32.5 s.
    """
    shown = text(legs_table(scenario, [result(scenario)], QWEN))
    assert "2.000 s" in shown
    assert "4.000 s" in shown
    assert "6.500 s" in shown
    assert "fits (2.2%)" in shown
    assert "32.5 s, fits" in shown


def test_a_query_that_loses_contact_has_no_second_column(scenario: Scenario) -> None:
    """Legs cannot be exchanged one by one where one of them is cut by LOS."""
    crossing = result(scenario, start=58.0)
    shown = text(legs_table(scenario, [crossing], QWEN))
    assert "this run" in shown
    assert "same cycle" not in shown


def test_rates_that_stand_in_no_column_are_not_told(scenario: Scenario) -> None:
    """Neither where LOS lies in the slowest query, nor where no answer is whole."""
    assert comparable(scenario, [result(scenario)], QWEN) is QWEN
    assert comparable(scenario, [result(scenario, start=58.0)], QWEN) is None
    assert comparable(scenario, [result(scenario, leg="FAILED")], QWEN) is None


def test_real_seconds_beside_mission_seconds_are_called_real(scenario: Scenario) -> None:
    """The engine counts in real seconds; where mission time runs at their pace there is nothing to tell apart."""
    asked = result(scenario)
    asked.query["receipt"] = {"tokens": 107, "decode_ms": 10_702}
    assert "107 tokens (10.702 real s by the engine)" in text(legs_table(scenario, [asked], None, speed=5))
    assert "107 tokens (10.702 s by the engine)" in text(legs_table(scenario, [asked], None, speed=1))


def test_the_report_says_what_is_measured_simulated_and_cited(scenario: Scenario) -> None:
    """Each kind of figure is labelled, and the pace of a larger model is called simulated."""
    shown = told(scenario, result(scenario))
    for words in (
        "measured   legs",
        "simulated  the link",
        "seed 7",
        "5 times faster",
        "cited      image",
        "2 tokens per mission",
    ):
        assert words in shown
    assert "random weights" in shown


def test_what_stays_on_board_stands_beside_what_travels(scenario: Scenario) -> None:
    """Scene and bytes of each query, and all frames of the run."""
    shown = told(scenario, result(scenario))
    for words in ("210 B", "162 B", "2.6 kB", "276 B in 2 frames", "12.8 kB in 10 frames"):
        assert words in shown


def test_nothing_whole_gives_no_table(scenario: Scenario) -> None:
    """And the report still comes."""
    failed = result(scenario, leg="EXPIRED", answer="")
    assert legs_table(scenario, [failed], QWEN) is None
    assert "EXPIRED instead of DELIVERED" in told(scenario, failed)


def test_the_figure_is_drawn_as_svg_and_png_with_question_and_contacts(scenario: Scenario, tmp_path: Path) -> None:
    """Also for a query that has only just been stored, and for none at all."""
    fresh = Result(QuestionModel(ask="And now?"), False, {"id": "1", "leg": "QUEUED", "times": {}})
    svg, png = draw_timeline(scenario, [result(scenario), fresh], tmp_path / "timeline", "caption")
    drawn = svg.read_text()
    for words in ("Which vessels are dark?", "Dark 1: V4.", "LOS", "3.50 s", "caption"):
        assert words in drawn
    assert png.read_bytes().startswith(b"\x89PNG")
    draw_timeline(scenario, [], tmp_path / "empty", "caption")


def test_a_long_answer_keeps_its_conclusion_in_the_figure() -> None:
    """What is cut is its beginning, at a word."""
    assert ending("A 1; B 2; C 3. Worst C.", 14) == "… 3. Worst C."
    assert ending("short", 14) == "short"


def test_bytes_are_told_as_people_read_them() -> None:
    """Three digits and a unit."""
    assert [amount(n) for n in (0, 950, 1200, 123_456, 600_000_000)] == ["0 B", "950 B", "1.2 kB", "123 kB", "600 MB"]


def test_a_rates_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """A missing one only leaves the column out."""
    assert load_rates(tmp_path / "none.json") is None
    path = tmp_path / "rates.json"
    path.write_text('{"model": "x"}')
    with pytest.raises(BenchError, match="is not a result of"):
        load_rates(path)


def test_the_committed_rates_are_a_result_of_the_benchmark() -> None:
    """docs/results/qwen3-0.6b-rates.json is there and is read: the second column stands on a measurement."""
    rates = load_rates()
    assert rates is not None
    assert "0.6b" in rates.model.lower()
    assert 0 < rates.decode < rates.prefill
