"""The margin of the gate: measured on clean answers, by the rule that stands in the code, kept in the manifest."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import orbitlm
from flight.verifier.calibration import LEAST, SAFETY, Answered, Calibration, calibrate, read_questions
from models import cadet_path
from models import manifest as manifests
from models.corpus import held_out_cases
from models.errors import ModelFileError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of cadet without a manifest."""
    return Path(shutil.copy(cadet_path(), tmp_path / "cadet.gguf"))


def test_the_margin_is_twice_the_largest_shift_and_no_less_than_the_least() -> None:
    quiet = Calibration((Answered(9, 0, 0.001, 0.0, 2.0),))
    assert quiet.margin == LEAST
    loud = Calibration((Answered(9, 0, 0.02, 0.0, 2.0), Answered(9, 1, 0.151, 0.1, 0.0)))
    assert loud.margin == pytest.approx(math.ceil(100 * SAFETY * 0.151) / 100)
    assert loud.margin > 0.151, "a shift as large as the largest seen cannot pass"
    assert (loud.disagreements, loud.largest_disagreement, loud.positions) == (1, 0.1, 18)
    assert (loud.share(0.31), loud.share(3.0)) == (0.5, 1.0)


@pytest.mark.slow
def test_it_measures_clean_answers_of_a_real_model(model: Path) -> None:
    """Every position is compared; batches do round otherwise than single tokens, and by little."""
    questions = [case.user for case in held_out_cases(12, seed=3)]  # as the command asks; two of them round otherwise
    counted: list[int] = []
    found = calibrate(model, manifests.make(model), questions, progress=lambda done: counted.append(done))
    assert counted == list(range(1, 13))
    assert len(found.answers) == 12
    assert found.positions > 12
    assert 0 < found.shift < 2.0
    assert all(answer.disagreement <= answer.shift for answer in found.answers)


@pytest.mark.slow
def test_the_command_writes_the_margin_into_the_manifest(model: Path, tmp_path: Path) -> None:
    """`orbitlm models calibrate`, with questions of one's own; a dry run writes nothing."""
    questions = tmp_path / "mine.jsonl"
    rows = [{"question": f"Is V{number} dark?", "scene": "VESSELS\nV1 AIS ON"} for number in range(12)]
    questions.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    orbitlm.mount("models")
    words = ["models", "calibrate", str(model), "--answers", "10", "--questions", str(questions)]
    dry = CliRunner().invoke(orbitlm.app, [*words, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "measured over 10 clean answers" in dry.output
    assert not manifests.manifest_path(model).exists()
    done = CliRunner().invoke(orbitlm.app, words)
    assert done.exit_code == 0, done.output
    kept = manifests.load(manifests.manifest_path(model))
    assert kept.margin_answers == 10
    assert kept.margin is not None
    assert f"Wrote the margin {kept.margin:.2f}" in done.output


def test_a_model_that_is_not_the_one_of_its_manifest_is_not_calibrated(model: Path) -> None:
    manifest = manifests.make(model)
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    with pytest.raises(ModelFileError, match="is not the file of its manifest"):
        calibrate(model, manifest, ["?"])


@pytest.mark.parametrize("text", ["no json", '{"answer": "x"}', "[1]"])
def test_questions_that_are_none_are_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(text)
    with pytest.raises(ModelFileError, match="cannot be used"):
        read_questions(path)
