"""An arm may bring a protection of its own: it looks before each release, and what it found makes the answer again."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from hil.campaign.bench import Bench
from hil.campaign.plan import parse_plan
from hil.errors import FaultError

PLAN = """
name = "own-protection"
seed = 11
[questions]
families = ["closed-book"]
count = 2
max_prompt_chars = 120

[arms.sums]
assurance = "none"
protection = "tensor-sums"
settings.integrity = { pages = false, replay = false }
[arms.bare]
assurance = "none"
settings.integrity = { pages = false, replay = false }

[[strata]]
name = "scale"
count = 4
where = { roles = ["scale"], bits = [14], tensors = ["blk.*.ffn_down.weight"] }
"""


def example(name: str) -> ModuleType:
    """A module of the examples."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_own_protection_races_against_none(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = example("own_protection").TensorSums
    monkeypatch.setattr("hil.campaign.crew.protection_of", lambda name: {"tensor-sums": sums}[name])
    with Bench(parse_plan(PLAN, "own-protection", "")) as bench:
        rows = [row for index in range(4) for row in bench.rows(index)]
    own = [row for row in rows if row.arm == "sums"]
    bare = [row for row in rows if row.arm == "bare"]
    assert len(own) == len(bare) == 4
    assert all(row.outcome == "detected-and-recomputed" for row in own)
    assert all("protection" in row.detected_by for row in own)
    assert any(not row.same for row in bare), "without it some of these answers are wrong"
    assert all(row.same for row in own)


@pytest.mark.slow
def test_a_protection_that_is_not_installed_is_named() -> None:
    with (
        pytest.raises(FaultError, match="no protection 'tensor-sums'; installed are"),
        Bench(parse_plan(PLAN, "own-protection", "")),
    ):
        pass
