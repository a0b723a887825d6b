"""Models of true Qwen3 dimensions with random weights: for timing and memory, never for answers.

The numbers are written in pieces of 4 MiB, so that memory stays small whatever the size of the model. The tokenizer is
cadet's, filled up to the true vocabulary: real text in, nonsense out.
"""

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import gguf
import numpy as np
from numpy.typing import NDArray

from models.errors import ModelsError
from models.gguf_layout import LAYOUTS, Role
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

KINDS: dict[str, tuple[gguf.GGMLQuantizationType, gguf.LlamaFileType]] = {
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q4_0": (gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
    "q4_k": (gguf.GGMLQuantizationType.Q4_K, gguf.LlamaFileType.MOSTLY_Q4_K_S),
    "q5_k": (gguf.GGMLQuantizationType.Q5_K, gguf.LlamaFileType.MOSTLY_Q5_K_S),
    "q6_k": (gguf.GGMLQuantizationType.Q6_K, gguf.LlamaFileType.MOSTLY_Q6_K),
}
"""The types that can be written: of every matrix, and in the header. Norms are float32."""


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
    partial = out.with_name(out.name + ".part")
    writer = gguf.GGUFWriter(str(partial), "qwen3")
    add_header(writer, dims, KINDS[kind][1])
    writer.add_description("Random weights at the dimensions of Qwen3: for timing only, its text is nonsense.")
    add_vocabulary(writer, read_vocabulary(data_path("cadet/tokenizer.json"), dims.vocabulary))
    shapes = tensor_shapes(dims)
    for name, shape in shapes:
        _declare(writer, name, shape, kind)
    rng = np.random.default_rng(seed)
    blocks = _Blocks(kind)
    done, whole = 0, sum(_bytes_of(shape, kind) for _, shape in shapes)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, whole)

    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for _, shape in shapes:
            made: Any = _RandomTensor(rng, _bytes_of(shape, kind), blocks if len(shape) > 1 else None, advance)
            writer.write_tensor_data(made)
        writer.close()
        partial.replace(out)
    except OSError as error:
        raise ModelsError(f"{out} cannot be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return out


def _bytes_of(shape: tuple[int, ...], kind: str) -> int:
    values = math.prod(shape)
    if len(shape) == 1:
        return values * 4
    layout = LAYOUTS[kind.upper()]
    return values // layout.values * layout.bytes


def _check_room(dims: QwenDims, out: Path, kind: str) -> None:
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
    else:
        row = _bytes_of((1, shape[-1]), kind)
        writer.add_tensor_info(name, (*shape[:-1], row), np.dtype(np.uint8), size, KINDS[kind][0])


class _Blocks:
    """Random blocks of one type, whose weights have a mean of about 0 and a deviation of about 0.02.

    The integers are uniform; the fp16 scale is the same in every block, chosen by what a sample means with a scale of 1
    (its minimum 7.5 or 15.5 times as much, the mean of the integers, so that the weights lie around 0).
    """

    def __init__(self, kind: str) -> None:
        self.layout = LAYOUTS[kind.upper()]
        self._ratio = {"q4_k": 7.5, "q5_k": 15.5}.get(kind, 0.0)
        self._scale = 1.0
        if self.layout.count(Role.SCALE):
            sample = self.make(np.random.default_rng(0), 256)
            self._scale = _DEVIATION / float(gguf.quants.dequantize(sample, KINDS[kind][0]).std())

    def make(self, rng: np.random.Generator, count: int) -> NDArray[np.uint8]:
        """Return `count` blocks, (count, bytes of a block)."""
        if not self.layout.count(Role.SCALE):
            values = rng.standard_normal((count, 1), np.float32) * _DEVIATION
            return values.astype(np.float16).view(np.uint8)
        blocks = rng.integers(0, 256, (count, self.layout.bytes), np.uint8)
        for role, value in ((Role.SCALE, self._scale), (Role.MINIMUM, self._scale * self._ratio)):
            if self.layout.count(role):
                first, _ = self.layout.bits(role)[0]
                blocks[:, first : first + 2] = np.array([value], np.float16).view(np.uint8)
        return blocks


class _RandomTensor:
    """As much of an array as `GGUFWriter.write_tensor_data` uses, made piece by piece while it is written."""

    def __init__(
        self, rng: np.random.Generator, size: int, blocks: _Blocks | None, advance: Callable[[int], None]
    ) -> None:
        self.nbytes = size
        self._rng, self._blocks, self._advance = rng, blocks, advance

    def tofile(self, file: BinaryIO) -> None:
        for piece in self._pieces():
            piece.tofile(file)
            self._advance(piece.nbytes)

    def _pieces(self) -> Iterator[NDArray[np.generic]]:
        if self._blocks is None:
            yield np.ones(self.nbytes // 4, np.float32)
            return
        size = self._blocks.layout.bytes
        left, most = self.nbytes // size, max(_CHUNK // size, 1)
        while left:
            count = min(left, most)
            yield self._blocks.make(self._rng, count)
            left -= count
