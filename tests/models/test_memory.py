"""What `info` says of memory is what llama.cpp takes. Witness: the buffer sizes that llama.cpp itself reports."""

import ctypes
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from models import ModelFileError, cadet_path
from models.gguf_file import GgufInfo, read_info
from models.info import info_json, show_info
from models.memory import OUTPUTS, available_memory, available_shared_memory, graph_bytes, memory_needed
from models.quantize import quantize
from models.random_weights import DIMS, write_random
from models.runner import load_llama_cpp

MIB = 1 << 20


@pytest.fixture(scope="module")
def llama() -> Iterator[tuple[Any, list[str]]]:
    """llama.cpp with its log in a list; silent again afterwards."""
    api, lines = load_llama_cpp(), []
    listen = api.llama_log_callback(lambda level, text, data: lines.append(text.decode("utf-8", "replace")))
    silent = api.llama_log_callback(lambda level, text, data: None)
    api.llama_log_set(listen, ctypes.c_void_p(0))
    yield api, lines
    api.llama_log_set(silent, ctypes.c_void_p(0))
    _KEPT.append(silent)


_KEPT: list[Any] = []
"""Callbacks that llama.cpp may still call."""


def reported(llama: tuple[Any, list[str]], path: Path, n_ctx: int) -> dict[str, float]:
    """The KV and compute buffers in MiB that llama.cpp reports for a context as flight makes it."""
    api, lines = llama
    params = api.llama_model_default_params()
    params.n_gpu_layers, params.use_extra_bufts = 0, False
    model = api.llama_model_load_from_file(bytes(path), params)
    context = api.llama_context_default_params()
    context.n_ctx, context.n_batch, context.n_ubatch, context.n_seq_max = n_ctx, 512, 512, 1
    context.n_outputs_max, context.n_threads = OUTPUTS, 1
    context.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context.offload_kqv = context.op_offload = context.kv_unified = False
    lines.clear()
    handle = api.llama_init_from_model(model, context)
    found = dict(re.findall(r"(KV|compute) buffer size\s*=\s*([\d.]+) MiB", "".join(lines)))
    api.llama_free(handle)
    api.llama_model_free(model)
    return {name: float(size) for name, size in found.items()}


@pytest.mark.parametrize("n_ctx", [100, 256, 300, 1024])
def test_cadets_buffers_are_as_estimated(llama: tuple[Any, list[str]], n_ctx: int) -> None:
    """The KV cache exactly, and the compute buffer never too small and at most 10 % too large."""
    check(llama, cadet_path(), n_ctx, 0.10)


@pytest.mark.parametrize("kind", ["q4_k_m", "q4_0"])
def test_mixed_types_need_the_same_buffers(llama: tuple[Any, list[str]], tmp_path: Path, kind: str) -> None:
    source = write_random(DIMS["tiny"], tmp_path / "source.gguf", "f16")
    quantize(source, tmp_path / "out.gguf", kind)
    check(llama, tmp_path / "out.gguf", 512, 0.15)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen3-0.6b", "qwen3-4b"])
def test_buffers_at_the_widths_of_qwen3_are_as_estimated(
    llama: tuple[Any, list[str]], tmp_path: Path, name: str
) -> None:
    """Two layers of it: the compute buffer is that of one layer, whatever their number."""
    path = write_random(replace(DIMS[name], layers=2, vocabulary=2048, tied=True), tmp_path / "wide.gguf", "q4_0")
    for n_ctx in (256, 1024, 4096):
        check(llama, path, n_ctx, 0.12)
    path.unlink()


def check(llama: tuple[Any, list[str]], path: Path, n_ctx: int, over: float) -> None:
    info, found = read_info(path), reported(llama, path, n_ctx)
    need = memory_needed(info, n_ctx)
    assert need.kv / MIB == pytest.approx(found["KV"], abs=0.01)
    assert found["compute"] - 0.02 <= graph_bytes(info, n_ctx) / MIB <= found["compute"] * (1 + over) + 0.02
    assert need.compute > graph_bytes(info, n_ctx)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> GgufInfo:
    return read_info(write_random(DIMS["tiny"], tmp_path_factory.mktemp("tiny") / "tiny.gguf"))


def test_memory_is_the_image_once_and_the_rest_for_each_process(tiny: GgufInfo) -> None:
    one, two = memory_needed(tiny, 1000), memory_needed(tiny, 1000, contexts=2)
    assert one.image == two.image == tiny.file_bytes
    assert one.kv == 2 * 2 * tiny.n_layer * tiny.n_head_kv * tiny.head_dim * 1024
    assert (two.kv, two.compute) == (2 * one.kv, 2 * one.compute)
    assert one.total == one.image + one.kv + one.compute


def test_a_context_of_no_tokens_is_refused(tiny: GgufInfo) -> None:
    with pytest.raises(ModelFileError, match="positive"):
        memory_needed(tiny, 0)


def test_free_memory_is_positive_on_linux() -> None:
    assert (available_memory() or 0) > 0
    assert available_shared_memory("/no/such/place") is None


@pytest.mark.parametrize(
    ("free", "shared", "fits", "words"),
    [
        (10**10, 10**10, True, "yes: "),
        (10**7, 10**10, False, "MiB needed, 10 MiB free"),
        (10**10, 1000, False, "of shared memory, 0 MiB are free"),
        (10**10, None, True, "yes: "),
        (None, None, None, "does not say"),
    ],
)
def test_whether_this_board_can_take_it(
    tiny: GgufInfo,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    free: int | None,
    shared: int | None,
    fits: bool | None,
    words: str,
) -> None:
    monkeypatch.setattr("models.info.available_memory", lambda: free)
    monkeypatch.setattr("models.info.available_shared_memory", lambda: shared)
    found = info_json(tiny, 256)
    assert found["fits"] is fits
    assert words in found["verdict"]
    monkeypatch.setattr("models.info.Console", lambda: Console(width=200))
    show_info(tiny, 256)
    assert found["verdict"] in capsys.readouterr().out
