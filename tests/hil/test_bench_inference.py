"""The bench of inference compares like with like: the same prompts and the same answers, through flight and bare."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.bench import inference
from hil.bench.bare import BareAnswer, BareLoop
from hil.errors import BenchError
from models.random_weights import DIMS, write_random

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(DIMS["tiny"], tmp_path_factory.mktemp("models") / "tiny.gguf")


def test_the_figures_are_of_the_whole_flight_process(model: Path) -> None:
    """One round with every question: real frames, real processes, ratios of both rates, all marked as measured."""
    measured = inference.run(model, rounds=1)
    figures = measured.as_json()
    assert figures["kind"] == "measured"
    assert figures["model"] == "tiny"
    assert len(figures["pairs"]) >= 5
    for pair in figures["pairs"]:
        assert pair["decode_ratio"] == pytest.approx(pair["flight_decode"] / pair["bare_decode"], rel=1e-3)
    assert figures["decode_tokens_per_s"] > 0
    assert figures["goal"] == 0.8
    assert "measured" in str(measured.table().title)


def test_an_answer_that_differs_ends_the_measurement(model: Path) -> None:
    """Rates of different work are not compared: here flight's receipt says one token less."""
    with BareLoop(model, threads=1) as bare:
        prompt = bare.prompt("", "Which vessels are dark?")
        alone = bare.answer(prompt, 20)
    good = {
        "outcome": "done",
        "prompt_sha256": bytes.fromhex(prompt.sha256),
        "tokens": alone.tokens,
        "answer_sha256": bytes.fromhex(alone.sha256),
    }
    inference._same("?", prompt.sha256, alone, good)
    for change in ({"tokens": alone.tokens - 1}, {"answer_sha256": bytes(32)}, {"prompt_sha256": bytes(32)}):
        with pytest.raises(BenchError, match="otherwise than the bare loop"):
            inference._same("?", prompt.sha256, alone, {**good, **change})


def test_the_bare_loop_repeats_itself(model: Path) -> None:
    """Bit-identical text on every run, or there is nothing to compare with."""
    with BareLoop(model, threads=1) as bare:
        prompt = bare.prompt("", "Which vessels are dark?")
        answers: list[BareAnswer] = [bare.answer(prompt, 20) for _ in range(3)]
    assert len({answer.sha256 for answer in answers}) == 1


def test_a_missing_model_is_said(tmp_path: Path) -> None:
    """In a sentence, before anything is started."""
    with pytest.raises(BenchError, match="there is no model file"):
        inference.run(tmp_path / "none.gguf")
