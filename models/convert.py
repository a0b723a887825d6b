"""A training checkpoint as a GGUF file, in F16 or Q8_0. Needs the `train` extra to read the checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from models.errors import ModelFileError, ModelsError
from models.gguf_writing import QwenDims, Vocabulary, add_header, add_vocabulary, read_vocabulary

TYPES = {
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
"""The file types that can be written: tensor type of the matrices, and the file type in the header."""


@dataclass(frozen=True)
class Checkpoint:
    """What conversion needs of a training checkpoint: dimensions, weights by GGUF name, vocabulary, progress."""

    dims: QwenDims
    weights: dict[str, NDArray[np.float32]]
    vocabulary: Vocabulary
    steps: int
    tokens: int


def read_checkpoint(folder: Path) -> Checkpoint:
    """Return the checkpoint in a training folder."""
    try:
        import torch
    except ImportError as error:
        raise ModelsError("Reading a checkpoint needs PyTorch: install the `train` extra.") from error
    path = folder / "checkpoint.pt"
    if not path.exists():
        raise ModelFileError(f"There is no checkpoint in {folder}: train first, or name the training folder.")
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    shape = state["shape"]
    dims = QwenDims(
        name="cadet",
        layers=shape["layers"],
        width=shape["width"],
        hidden=shape["hidden"],
        heads=shape["heads"],
        kv_heads=shape["kv_heads"],
        head_width=shape["head_width"],
        vocabulary=shape["vocabulary"],
        context=shape["context"],
        rope_base=shape["rope_base"],
        epsilon=shape["epsilon"],
        tied=True,
    )
    weights = {name: value.float().numpy() for name, value in state["network"].items()}
    return Checkpoint(dims, weights, read_vocabulary(folder / "tokenizer.json"), state["steps"], state["tokens"])


def write_gguf(checkpoint: Checkpoint, out: Path, kind: str) -> Path:
    """Write a checkpoint as GGUF of a kind (`f16` or `q8_0`); the file appears whole or not at all."""
    if kind not in TYPES:
        raise ModelsError(f"There is no file type {kind!r} here; choose {' or '.join(TYPES)}.")
    matrix_type, file_type = TYPES[kind]
    partial = out.with_suffix(".part")
    writer = gguf.GGUFWriter(str(partial), "qwen3")
    add_header(writer, checkpoint.dims, file_type, "Apache-2.0")
    add_vocabulary(writer, checkpoint.vocabulary)
    for name, values in checkpoint.weights.items():
        if values.ndim == 1:
            writer.add_tensor(name, values.astype(np.float32))
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, matrix_type), raw_dtype=matrix_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(out)
    return out
