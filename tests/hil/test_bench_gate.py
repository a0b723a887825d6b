"""The bench of the release gate: real answers, real checks, ratios that add up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hil.bench import gate
from hil.bench.command import app

pytestmark = pytest.mark.slow


def test_it_measures_every_part_of_a_check(tmp_path: Path) -> None:
    """Pages, replay and share of re-runs of cadet, on the command line and in the JSON."""
    out = tmp_path / "gate.json"
    ended = CliRunner().invoke(app, ["gate", "--answers", "4", "--json", str(out)])
    assert ended.exit_code == 0, ended.output
    found = json.loads(out.read_text())["gate"]
    assert (found["answers"], found["model"], found["threads"]) == (4, "cadet-q8_0", 1)
    assert found["pages_goal"] is None, "the goals are of 0.6B dimensions"
    assert 0 <= found["rerun_share"] <= 1
    assert "kernel" in found["kernel"]
    for cost in found["costs"]:
        assert 0 < cost["pages_s"] < cost["check_s"]
        assert 0 < cost["replay_s"] < cost["check_s"]
        assert cost["prefill_s"] > 0
        assert cost["llama_cpp_s"] > 0
        assert cost["tokens"] > 0
        assert (cost["rerun_s"] > 0) == (cost["how"] == "rerun")


def test_a_goal_that_is_missed_is_bad() -> None:
    cost = gate.Cost(128, 256, 10.0, 1.5, 3.0, 0.1, 0.1, 2.0, 0.0, 2.2, "replay", 1.0)
    good = gate.GateBench("m", 1 << 30, 2, 0.3, (cost,), None, judged=True, kernel="theirs")
    assert good.good
    slow = gate.Cost(128, 256, 10.0, 1.5, 3.0, 0.1, 0.3, 2.0, 0.0, 2.4, "replay", 1.0)
    assert not gate.GateBench("m", 1 << 30, 2, 0.3, (slow,), None, judged=True, kernel="theirs").good
    dear = gate.Cost(128, 256, 10.0, 1.5, 3.0, 0.3, 0.1, 2.0, 0.0, 2.4, "replay", 1.0)
    assert not gate.GateBench("m", 1 << 30, 2, 0.3, (dear,), None, judged=True, kernel="theirs").good
    assert gate.GateBench("m", 1 << 20, 1, 0.3, (slow,), 0.1, judged=False, kernel="theirs").good
