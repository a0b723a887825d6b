"""Random models: the true dimensions, small memory, and llama.cpp loads and runs what is written."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize

from models import ModelsError
from models.gguf_file import read_info
from models.random_weights import DIMS, KINDS, tensor_shapes, write_random
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


@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_runs_a_random_model(tmp_path: Path, kind: str) -> None:
    path = write_random(DIMS["tiny"], tmp_path / "tiny.gguf", kind)
    info = read_info(path)
    assert info.quantization in (kind.upper(), f"{kind.upper()}_S")
    assert {tensor.type for tensor in info.tensors} == {kind.upper(), "F32"}
    with Runner(path, n_ctx=128) as runner:
        assert runner.n_vocab == DIMS["tiny"].vocabulary
        reply = runner.answer("Which vessels are dark?", limit=8)
    assert 1 <= reply.tokens <= 8


@pytest.mark.parametrize("kind", KINDS)
def test_weights_lie_around_zero_and_are_finite(tmp_path: Path, kind: str) -> None:
    path = write_random(DIMS["tiny"], tmp_path / "tiny.gguf", kind)
    for tensor in gguf.GGUFReader(path).tensors:
        values = np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32)
        if values.ndim == 1:
            assert np.all(values == 1)
            continue
        assert np.isfinite(values).all()
        assert values.std() == pytest.approx(0.02, rel=0.15), tensor.name
        assert abs(values.mean()) < 0.003, tensor.name


@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes_and_metadata_are_those_of_the_published_files(name: str) -> None:
    """As in the files of Qwen/Qwen3-*-GGUF (cited): 8B alone has an output matrix of its own."""
    dims = DIMS[name]
    shapes = dict(tensor_shapes(dims))
    assert shapes["token_embd.weight"] == (151_936, dims.width)
    assert ("output.weight" in shapes) == (name == "qwen3-8b")
    assert len(shapes) == 2 + 11 * dims.layers + (name == "qwen3-8b")
    assert shapes["blk.0.attn_q.weight"] == (dims.heads * 128, dims.width)
    assert shapes["blk.0.attn_k.weight"] == shapes["blk.0.attn_v.weight"] == (8 * 128, dims.width)
    assert shapes["blk.0.attn_output.weight"] == (dims.width, dims.heads * 128)
    assert shapes["blk.0.attn_q_norm.weight"] == shapes["blk.0.attn_k_norm.weight"] == (128,)
    assert shapes[f"blk.{dims.layers - 1}.ffn_down.weight"] == (dims.width, dims.hidden)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_of_the_true_width_has_the_header_of_its_name(tmp_path: Path, name: str) -> None:
    """One layer of it and few words, since a whole one takes up to 9 GB: what is left out is more of the same."""
    dims = replace(DIMS[name], layers=1, vocabulary=2048)
    info = read_info(write_random(dims, tmp_path / "wide.gguf", "q4_0"))
    assert (info.architecture, info.n_ctx_train, info.n_embd) == ("qwen3", 40_960, DIMS[name].width)
    assert (info.n_head, info.n_head_kv, info.head_dim) == (DIMS[name].heads, 8, 128)
    assert info.metadata["qwen3.rope.freq_base"] == 1e6
    assert info.metadata["qwen3.feed_forward_length"] == DIMS[name].hidden
    with Runner(info.path, n_ctx=64) as runner:
        runner.decode(runner.tokenize("dark vessels"))
    info.path.unlink()


def test_a_large_tensor_is_written_without_being_held(tmp_path: Path) -> None:
    """An embedding of 71 MB costs less than 30 MB of memory: it is made in pieces."""
    dims = replace(DIMS["tiny"], width=16_384, vocabulary=4_096, layers=1, hidden=256)
    begun: list[int] = []

    def note(done: int, whole: int) -> None:
        if not begun:
            tracemalloc.reset_peak()  # what the vocabulary took before does not count
        begun.append(done)

    tracemalloc.start()
    try:
        write_random(dims, tmp_path / "wide.gguf", "q8_0", progress=note)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert begun[0] < begun[-1] / 10
    assert (tmp_path / "wide.gguf").stat().st_size > 71_000_000
    assert peak < 30_000_000


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
