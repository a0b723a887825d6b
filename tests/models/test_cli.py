"""The command line: what it prints, and one sentence with exit code 1 where it cannot."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from models import cadet_path
from models.cli import app
from models.fetch import pin_path
from models.show import byte_progress, count_progress

COMMANDS = (
    "list",
    "info",
    "fetch",
    "verify",
    "random",
    "corpus",
    "train",
    "convert",
    "eval",
    "figure",
    "quantize",
    "quantizations",
)


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    code, text = run(command, "--help")
    assert code == 0
    assert "Example" in text


def test_list_names_every_model_as_json() -> None:
    code, text = run("list", "--json")
    assert code == 0
    assert [row["name"] for row in json.loads(text)][:2] == ["cadet", "qwen3-0.6b"]


def test_info_of_a_random_model_counts_its_parameters_and_memory(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    assert run("random", "tiny", "--out", str(path))[0] == 0
    code, text = run("info", str(path), "--context", "256", "--json")
    found = json.loads(text)
    assert code == 0
    assert found["architecture"] == "qwen3"
    assert found["memory"]["context"] == 256
    assert found["fits"] is True
    assert "Q8_0" in run("info", str(path))[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("info", "nowhere.gguf"), "There is no model file"),
        (("info", __file__), "not a GGUF file"),
        (("eval", "nowhere.gguf"), "There is no model file"),
        (("info", "qwen3-8b"), "orbitlm models fetch qwen3-8b"),
        (("fetch", "gpt-5"), "There is no model 'gpt-5'"),
        (("random", "qwen9", "--out", "x.gguf"), "no dimensions"),
        (("random", "tiny", "--out", "x.gguf", "--type", "q1"), "no file type"),
        (("verify", "nowhere.gguf"), "There is no model file"),
        (("figure", "--run", "nowhere", "--out", "x.svg"), "no training log"),
    ],
)
def test_a_bad_argument_gets_one_sentence(words: tuple[str, ...], sentence: str) -> None:
    code, text = run(*words)
    assert code == 1
    assert sentence in text.replace("\n", " ")


def test_cadet_is_the_file_that_its_pin_names() -> None:
    code, text = run("verify", "cadet")
    assert code == 0, text
    assert pin_path(cadet_path()).read_text(encoding="ascii").split()[0] in text.replace("\n", "")


def test_one_flipped_byte_of_cadet_is_told_in_one_sentence(tmp_path: Path) -> None:
    copy = tmp_path / cadet_path().name
    content = bytearray(cadet_path().read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    pin_path(copy).write_bytes(pin_path(cadet_path()).read_bytes())
    code, text = run("verify", str(copy))
    assert code == 1
    assert f"orbitlm models: {copy.name} is damaged" in text
    assert "Traceback" not in text
    copy.write_bytes(cadet_path().read_bytes())
    assert run("verify", str(copy))[0] == 0


def test_corpus_prints_conversations_and_cases() -> None:
    assert "CADET" in run("corpus", "--count", "1")[1]
    assert "TRUTH" in run("corpus", "--held", "--count", "2")[1]


def test_a_learning_curve_is_drawn_from_the_log(tmp_path: Path) -> None:
    rows = [{"tokens": 1000 * n, "loss": 1 / n} for n in range(1, 4)]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "history.json").write_text(json.dumps([{"tokens": 3000, "exact": 0.5}]))
    assert run("figure", "--run", str(tmp_path), "--out", str(tmp_path / "curve.svg"))[0] == 0
    assert "<svg" in (tmp_path / "curve.svg").read_text()


def test_an_evaluation_is_written_as_json(tmp_path: Path) -> None:
    path, out = tmp_path / "tiny.gguf", tmp_path / "out" / "eval.json"
    run("random", "tiny", "--out", str(path))
    code, text = run("eval", str(path), "--items", "7", "--tasks", "--wrong", "1", "--json", str(out))
    assert code == 0, text
    found = json.loads(out.read_text())
    assert found["total"]["items"] == 7
    assert found["kind"] == "measured"
    assert len(found["families"]) == 7


@pytest.mark.parametrize(
    "words", [("random", "tiny", "--out", "x.gguf"), ("convert", "--run", "nowhere", "--out", "x.gguf")]
)
def test_without_its_library_a_command_names_what_installs_it(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flight install has no gguf package: these two need it, the others do not."""
    for module in [
        name
        for name in sys.modules
        if name in ("gguf", "models.random_weights", "models.convert", "models.gguf_writing")
    ]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "gguf", None)
    code, text = run(*words)
    assert code == 1
    assert "orbitlm models: This command needs gguf: install the models extra" in text


def test_without_a_terminal_something_long_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line every ten seconds with an estimate, and none for what is quick."""
    now = [100.0]
    monkeypatch.setattr("models.show.time", SimpleNamespace(monotonic=lambda: now[0]))
    with byte_progress("model.gguf") as advance:
        for second in range(25):
            now[0] = 100.0 + second
            advance(second * 10_000_000, 1_000_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "model.gguf: 100 of 1000 MB, about 90 s left",
        "model.gguf: 200 of 1000 MB, about 80 s left",
    ]
    with count_progress("questions", 50) as count:
        count(50)
    assert capsys.readouterr().err == ""
