"""The bench of the image's protection measures what flies, and says which goals it meets."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hil.bench.integrity import IntegrityBench, run
from hil.errors import BenchError
from models import cadet_path


@pytest.mark.slow
def test_every_figure_is_measured() -> None:
    """A short run over cadet: rates, repairs and memory are there, and the scrubber made passes while it was on."""
    said: list[str] = []
    bench = run(threads=1, rounds=2, turn_s=0.5, say=said.append)
    assert bench.model_bytes == cadet_path().stat().st_size
    assert (bench.page_bytes, bench.pages) == (4096, -(-bench.model_bytes // 4096))
    assert bench.pass_share > 0
    assert bench.bit_s > 0
    assert bench.stripe_s > 0
    assert bench.flash_s > 0
    assert 0.015 < bench.memory_share < 0.03, "codes twice and a parity page for each 64: no more, and not nothing"
    assert bench.decode_off > 0
    assert bench.decode_on > 0
    assert bench.passes_meanwhile >= 1
    assert bench.good == all(bench.as_json()["goals"].values())
    assert bench.table().row_count == 6
    assert "round 2 of 2" in said[-1]


def test_a_goal_that_is_missed_is_said() -> None:
    """Broken on purpose: figures beyond each bar."""
    fine = _fine()
    assert fine.good
    worse = {"pass_share": 0.69, "bit_s": 0.0011, "flash_s": 0.011, "memory_share": 0.031, "scrub_cost": 0.021}
    for name, value in worse.items():
        assert not dataclasses.replace(fine, **{name: value}).good, name


def test_a_model_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="There is no model file"):
        run(tmp_path / "nowhere.gguf")


def _fine() -> IntegrityBench:
    values: dict[str, Any] = dict.fromkeys((field.name for field in dataclasses.fields(IntegrityBench)), 0.0)
    return IntegrityBench(**{**values, "page_bytes": 4096, "pass_share": 0.9, "model": "m"})
