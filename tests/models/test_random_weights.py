"""Random models: the true dimensions, small memory, and llama.cpp loads and runs what is written."""

from pathlib import Path

import pytest

from models import ModelsError
from models.gguf_file import read_info
from models.random_weights import DIMS, tensor_shapes, write_random
from models.runner import Runner

# Counted from the published checkpoints (model cards of Qwen/Qwen3-*, cited): parameters with the tied embedding once.
PUBLISHED = {
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
}


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_the_dimensions_give_the_published_number_of_parameters(name: str, count: int) -> None:
    total = 0
    for _, shape in tensor_shapes(DIMS[name]):
        values = 1
        for size in shape:
            values *= size
        total += values
    assert total == count


@pytest.mark.parametrize("kind", ["q8_0", "f16"])
def test_llama_cpp_runs_a_random_model(tmp_path: Path, kind: str) -> None:
    path = write_random(DIMS["tiny"], tmp_path / "tiny.gguf", kind)
    assert read_info(path).quantization == kind.upper()
    with Runner(path, n_ctx=128) as runner:
        assert runner.n_vocab == DIMS["tiny"].vocabulary
        reply = runner.answer("Which vessels are dark?", limit=8)
    assert 1 <= reply.tokens <= 8


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    first = write_random(DIMS["tiny"], tmp_path / "a.gguf", seed=5).read_bytes()
    assert first == write_random(DIMS["tiny"], tmp_path / "b.gguf", seed=5).read_bytes()
    assert first != write_random(DIMS["tiny"], tmp_path / "c.gguf", seed=6).read_bytes()


def test_progress_ends_at_all_bytes(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_random(DIMS["tiny"], tmp_path / "a.gguf", progress=lambda done, whole: seen.append((done, whole)))
    assert seen[-1][0] == seen[-1][1]


def test_an_unknown_type_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelsError, match="no file type"):
        write_random(DIMS["tiny"], tmp_path / "a.gguf", "q3_k")
    with pytest.raises(ModelsError, match="no folder"):
        write_random(DIMS["tiny"], tmp_path / "nowhere" / "a.gguf")


def test_a_full_disk_is_refused_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(ModelsError, match="are free"):
        write_random(DIMS["tiny"], tmp_path / "a.gguf")
    assert list(tmp_path.iterdir()) == []
