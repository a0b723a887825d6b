"""Quantizing by llama.cpp, and the table that compares the results."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize
from typer.testing import CliRunner

from models import ModelFileError, ModelsError
from models.cli import app
from models.corpus import held_out_cases
from models.gguf_file import read_info
from models.gguf_layout import half_share, role_shares
from models.quantizations import accuracies, as_json, load, markdown, rows, speeds
from models.quantize import KINDS, quantize
from models.random_weights import DIMS, write_random


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(DIMS["tiny"], tmp_path_factory.mktemp("source") / "tiny-f16.gguf", "f16")


def weights(path: Path) -> dict[str, np.ndarray]:
    found = gguf.GGUFReader(path).tensors
    return {t.name: np.asarray(dequantize(t.data, t.tensor_type), np.float32).ravel() for t in found}


@pytest.mark.parametrize(("kind", "error"), [("q8_0", 0.01), ("q6_k", 0.04), ("q5_k_m", 0.06), ("q4_k_m", 0.12),
                                             ("q4_0", 0.15), ("f16", 0.0)])  # fmt: skip
def test_a_quantized_file_has_the_weights_of_its_source_but_for_rounding(
    source: Path, tmp_path: Path, kind: str, error: float
) -> None:
    """Root mean square of the difference over that of the weights, by the gguf package's dequantization."""
    made = quantize(source, tmp_path / "out.gguf", kind)
    assert made.quantization == kind.upper()
    before, after = weights(source), weights(tmp_path / "out.gguf")
    assert before.keys() == after.keys()
    for name, values in before.items():
        difference = float(np.sqrt(np.mean((values - after[name]) ** 2)) / np.sqrt(np.mean(values**2)))
        assert difference <= error, name
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_that_is_offered_can_be_made(source: Path, tmp_path: Path, kind: str) -> None:
    assert quantize(source, tmp_path / "out.gguf", kind).quantization == kind.upper()


def test_a_quantized_file_is_not_quantized_again(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "q8.gguf", "q8_0")
    with pytest.raises(ModelFileError, match="is Q8_0 already"):
        quantize(tmp_path / "q8.gguf", tmp_path / "q4.gguf", "q4_0")
    assert not (tmp_path / "q4.gguf").exists()


def test_a_torn_source_an_unknown_type_and_a_bad_place_leave_nothing(source: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(source.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match="truncated"):
        quantize(torn, tmp_path / "out.gguf", "q8_0")
    with pytest.raises(ModelsError, match="no file type 'q1'"):
        quantize(source, tmp_path / "out.gguf", "q1")
    with pytest.raises(ModelsError, match="no folder"):
        quantize(source, tmp_path / "nowhere" / "out.gguf", "q8_0")
    with pytest.raises(ModelsError, match="another name"):
        quantize(source, source, "q8_0")
    assert list(tmp_path.iterdir()) == [torn]


def test_what_llama_cpp_gives_up_half_way_is_taken_away(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses to quantize twice after having begun the file; our own check, which comes before, is off here."""
    quantize(source, tmp_path / "q8.gguf", "q8_0")
    monkeypatch.setattr("models.quantize._SOURCES", {"F32", "Q8_0"})
    with pytest.raises(ModelFileError, match=r"llama\.cpp cannot make q4_0"):
        quantize(tmp_path / "q8.gguf", tmp_path / "q4.gguf", "q4_0")
    assert [path.name for path in tmp_path.iterdir()] == ["q8.gguf"]


def test_shares_are_counted_by_tensor_where_types_are_mixed(source: Path, tmp_path: Path) -> None:
    """Q4_K_M holds Q6_K tensors too: bytes of fp16 scales over bytes of tensors, by hand."""
    info = quantize(source, tmp_path / "out.gguf", "q4_k_m")
    halves = {"Q4_K": 4 / 144, "Q6_K": 2 / 210, "F32": 0.0}
    assert {tensor.type for tensor in info.tensors} == set(halves)
    whole = sum(tensor.bytes for tensor in info.tensors)
    by_hand = sum(tensor.bytes * halves[tensor.type] for tensor in info.tensors) / whole
    assert half_share(info.tensors) == pytest.approx(by_hand)
    shares = role_shares(info.tensors)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["scale"] + shares["minimum"] == pytest.approx(by_hand)
    assert 0.95 < half_share(quantize(source, tmp_path / "q8.gguf", "q8_0").tensors) / (2 / 34) <= 1


def test_the_table_has_what_was_measured(source: Path, tmp_path: Path) -> None:
    files = {"f16": source, "q8_0": tmp_path / "q8.gguf"}
    quantize(source, files["q8_0"], "q8_0")
    seen: list[int] = []
    accuracy = accuracies(files, held_out_cases(2, 1), seen.append)
    assert seen == [1, 2, 3, 4]
    assert accuracy["f16"].same == 1
    assert accuracy["f16"].items == 2
    near = accuracy["q8_0"].near_tokens
    assert near["0.05"] <= near["0.1"] <= near["0.3"] <= 1
    speed = speeds(files, 2)
    assert speed["q8_0"].decode_ratio == 1
    assert speed["f16"].decode > 0
    values = as_json(read_info(source), list(rows(files, accuracy, speed)), 1)
    out = tmp_path / "table.json"
    out.write_text(json.dumps(values))
    lines = markdown(load(out)).splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3].startswith(f"| Q8_0 | {files['q8_0'].stat().st_size / 1e6:.2f} MB |")


def test_the_command_makes_the_table_and_shows_it_again(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "table.json"
    words = ["quantizations", str(source), "--types", "f16,q8_0,q4_0", "--items", "0", "--rounds", "0"]
    result = CliRunner().invoke(app, [*words, "--json", str(out)])
    assert result.exit_code == 0, result.output
    shown = CliRunner().invoke(app, ["quantizations", str(out), "--show"])
    assert shown.exit_code == 0
    assert shown.output in result.output
    assert [row["kind"] for row in json.loads(out.read_text())["rows"]] == ["f16", "q8_0", "q4_0"]


def test_what_is_no_table_is_refused_in_a_sentence(source: Path, tmp_path: Path) -> None:
    for name, content in (("a.json", b"{}"), ("b.json", b"\xff"), ("c.json", b"[]")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ModelsError, match=r"is (no table|not JSON).*\.$"):
            load(path)
    with pytest.raises(ModelsError, match="cannot be read"):
        load(tmp_path / "none.json")
    with pytest.raises(ModelsError, match="needs the F16"):
        accuracies({"q8_0": source}, [])
    with pytest.raises(ModelsError, match="needs q8_0"):
        speeds({"f16": source}, 1)
