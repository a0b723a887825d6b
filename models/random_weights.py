"""Models of true Qwen3 dimensions with random weights: for timing and memory, never for answers.

The numbers are written tensor by tensor, so that memory stays small whatever the size of the model. The tokenizer is
cadet's, filled up to the true vocabulary: real text in, nonsense out.
"""

import math
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from models.errors import ModelsError
from models.gguf_writing import QwenDims, add_header, add_vocabulary, read_vocabulary
from models.paths import data_path

_CHUNK = 1 << 22
_DEVIATION = 0.02

# huggingface.co/Qwen/Qwen3-{0.6B,1.7B,4B,8B}, config.json (cited); context as trained there.
DIMS: dict[str, QwenDims] = {
    "qwen3-0.6b": QwenDims("random-qwen3-0.6b", 28, 1024, 3072, 16, 8, 128, 151_936, 40_960, 1e6, 1e-6, True),
    "qwen3-1.7b": QwenDims("random-qwen3-1.7b", 28, 2048, 6144, 16, 8, 128, 151_936, 40_960, 1e6, 1e-6, True),
    "qwen3-4b": QwenDims("random-qwen3-4b", 36, 2560, 9728, 32, 8, 128, 151_936, 40_960, 1e6, 1e-6, True),
    "qwen3-8b": QwenDims("random-qwen3-8b", 36, 4096, 12_288, 32, 8, 128, 151_936, 40_960, 1e6, 1e-6, False),
    "tiny": QwenDims("random-tiny", 2, 256, 512, 4, 2, 64, 2_048, 1_024, 1e4, 1e-6, True),
}
"""The models that can be written; `tiny` is for tests."""

KINDS = ("q8_0", "f16")


def tensor_shapes(dims: QwenDims) -> list[tuple[str, tuple[int, ...]]]:
    """Return the tensors of a Qwen3 model in file order: name and shape (rows, columns)."""
    queries, keys = dims.heads * dims.head_width, dims.kv_heads * dims.head_width
    shapes: list[tuple[str, tuple[int, ...]]] = [("token_embd.weight", (dims.vocabulary, dims.width))]
    for layer in range(dims.layers):
        block: list[tuple[str, tuple[int, ...]]] = [
            ("attn_norm", (dims.width,)),
            ("attn_q", (queries, dims.width)),
            ("attn_k", (keys, dims.width)),
            ("attn_v", (keys, dims.width)),
            ("attn_q_norm", (dims.head_width,)),
            ("attn_k_norm", (dims.head_width,)),
            ("attn_output", (dims.width, queries)),
            ("ffn_norm", (dims.width,)),
            ("ffn_gate", (dims.hidden, dims.width)),
            ("ffn_up", (dims.hidden, dims.width)),
            ("ffn_down", (dims.width, dims.hidden)),
        ]
        shapes += [(f"blk.{layer}.{name}.weight", shape) for name, shape in block]
    shapes.append(("output_norm.weight", (dims.width,)))
    if not dims.tied:
        shapes.append(("output.weight", (dims.vocabulary, dims.width)))
    return shapes


def write_random(
    dims: QwenDims, out: Path, kind: str = "q8_0", seed: int = 1, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write a model of random weights to `out`, whole or not at all; `progress` gets bytes done and in all."""
    if kind not in KINDS:
        raise ModelsError(f"There is no file type {kind!r} here; choose {' or '.join(KINDS)}.")
    _check_room(dims, out, kind)
    partial = out.with_suffix(".part")
    writer = gguf.GGUFWriter(str(partial), "qwen3")
    file_type = gguf.LlamaFileType.MOSTLY_Q8_0 if kind == "q8_0" else gguf.LlamaFileType.MOSTLY_F16
    add_header(writer, dims, file_type)
    writer.add_description("Random weights at the dimensions of Qwen3: for timing only, its text is nonsense.")
    add_vocabulary(writer, read_vocabulary(data_path("cadet/tokenizer.json"), dims.vocabulary))
    shapes = tensor_shapes(dims)
    for name, shape in shapes:
        _declare(writer, name, shape, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    rng = np.random.default_rng(seed)
    done, whole = 0, sum(_bytes_of(shape, kind) for _, shape in shapes)
    for _, shape in shapes:
        writer.write_tensor_data(_random_tensor(rng, shape, kind))
        done += _bytes_of(shape, kind)
        if progress:
            progress(done, whole)
    writer.close()
    partial.replace(out)
    return out


def _bytes_of(shape: tuple[int, ...], kind: str) -> int:
    values = math.prod(shape)
    if len(shape) == 1:
        return values * 4
    return values // 32 * 34 if kind == "q8_0" else values * 2


def _check_room(dims: QwenDims, out: Path, kind: str) -> None:
    import shutil

    if not out.parent.is_dir():
        raise ModelsError(f"There is no folder {out.parent}: make it first.")
    need = sum(_bytes_of(shape, kind) for _, shape in tensor_shapes(dims)) + 16_000_000
    free = shutil.disk_usage(out.parent).free
    if need > free:
        raise ModelsError(f"{out} needs {need / 1e9:.2f} GB, but only {free / 1e9:.2f} GB are free there.")


def _declare(writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...], kind: str) -> None:
    size = _bytes_of(shape, kind)
    if len(shape) == 1:
        writer.add_tensor_info(name, shape, np.dtype(np.float32), size)
    elif kind == "f16":
        writer.add_tensor_info(name, shape, np.dtype(np.float16), size)
    else:
        in_bytes = (*shape[:-1], shape[-1] // 32 * 34)
        writer.add_tensor_info(name, in_bytes, np.dtype(np.uint8), size, gguf.GGMLQuantizationType.Q8_0)


def _random_tensor(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> NDArray[np.generic]:
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    if kind == "f16":
        values = np.empty(math.prod(shape), np.float16)
        for start in range(0, values.size, _CHUNK):
            part = rng.standard_normal(min(_CHUNK, values.size - start), np.float32)
            values[start : start + part.size] = part * _DEVIATION
        return values.reshape(shape)
    # Q8_0 blocks are made directly: 34 bytes, an fp16 scale and 32 signed bytes (uniform, so deviation 256/sqrt(12)).
    blocks = rng.integers(0, 256, (math.prod(shape) // 32, 34), np.uint8)
    scale = np.array([_DEVIATION * math.sqrt(12) / 256], np.float16)
    blocks[:, :2] = scale.view(np.uint8)
    return blocks.reshape(*shape[:-1], -1)
