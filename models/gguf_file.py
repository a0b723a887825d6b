"""A light reader of GGUF headers: what a model is and what memory it needs, without loading its weights.

Format: github.com/ggml-org/ggml, docs/gguf.md (version 2 and 3, little-endian). Standard library only; long arrays
such as token lists are counted and skipped, not kept.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from models.errors import ModelFileError
from models.gguf_layout import TENSOR_TYPES

MAGIC = b"GGUF"
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_SIZES = {code: struct.calcsize(form) for code, form in _SCALARS.items()}
_MOST_ENTRIES = 1_000_000
_LONGEST_STRING = 4_000_000
_KEPT_ARRAY = 64

Value = int | float | bool | str | tuple["Value", ...]

# llama.cpp file types (llama.h, enum llama_ftype) as people write them.
FILE_TYPES: dict[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
}  # fmt: skip


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of the file: dimensions as ggml counts them, type, and where its bytes lie in the file."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    bytes: int

    @property
    def values(self) -> int:
        """Return the number of values."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True)
class GgufInfo:
    """What a GGUF model file is. Counts are of values, layers, heads, tokens; `data_offset` is where weights begin."""

    path: Path
    architecture: str
    name: str
    quantization: str
    n_params: int
    n_ctx_train: int
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_vocab: int
    file_bytes: int
    data_offset: int
    chat_template: str | None
    tensors: tuple[TensorInfo, ...]
    metadata: dict[str, Value]


class _Reader:
    """Reads the header's values in order and knows the file's size, so that a false length never makes it read on."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file = file
        self.path = path
        self.size = path.stat().st_size

    def take(self, count: int) -> bytes:
        if count > self.size - self.file.tell():
            raise ModelFileError(f"{self.path} is truncated: its header goes on beyond its {self.size} bytes.")
        return self.file.read(count)

    def skip(self, count: int) -> None:
        if count > self.size - self.file.tell():
            raise ModelFileError(f"{self.path} is truncated: its header goes on beyond its {self.size} bytes.")
        self.file.seek(count, 1)

    def integer(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def count(self, what: str) -> int:
        number = self.integer("<Q")
        if number > _MOST_ENTRIES:
            raise ModelFileError(f"{self.path} is damaged: its header counts {number} {what}.")
        return number

    def string(self) -> str:
        length = self.integer("<Q")
        if length > _LONGEST_STRING:
            raise ModelFileError(f"{self.path} is damaged: its header holds a text of {length} bytes.")
        return self.take(length).decode("utf-8", errors="replace")

    def value(self, code: int) -> Value:
        if code in _SCALARS:
            scalar: int | float | bool = struct.unpack(_SCALARS[code], self.take(_SIZES[code]))[0]
            return scalar
        if code == _STRING:
            return self.string()
        if code == _ARRAY:
            return self.array()
        raise ModelFileError(f"{self.path} is damaged: its header holds a value of unknown type {code}.")

    def array(self) -> Value:
        code, length = self.integer("<I"), self.count("array entries")
        if length <= _KEPT_ARRAY and code != _ARRAY:
            return tuple(self.value(code) for _ in range(length))
        if code in _SCALARS:
            self.skip(length * _SIZES[code])
        elif code == _STRING:
            for _ in range(length):
                self.skip(self.integer("<Q"))
        else:
            raise ModelFileError(f"{self.path} is damaged: its header holds an array of type {code}.")
        return length


def read_info(path: Path) -> GgufInfo:
    """Return what the GGUF file at `path` is, or raise ModelFileError with one sentence on what is wrong with it."""
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"There is no model file {path}.")
    try:
        with path.open("rb") as file:
            return _read(_Reader(file, path))
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error


def _read(reader: _Reader) -> GgufInfo:
    path = reader.path
    if reader.size < 24 or reader.take(4) != MAGIC:
        raise ModelFileError(f"{path} is not a GGUF file: it does not begin with the letters GGUF.")
    version = reader.integer("<I")
    if version not in (2, 3):
        raise ModelFileError(
            f"{path} is a GGUF file of version {version}; versions 2 and 3 (little-endian) can be read."
        )
    tensor_count, entry_count = reader.count("tensors"), reader.count("entries")
    metadata: dict[str, Value] = {}
    for _ in range(entry_count):
        key = reader.string()
        metadata[key] = reader.value(reader.integer("<I"))
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
        raise ModelFileError(f"{path} is damaged: its alignment is {alignment!r}.")
    found = [_tensor(reader) for _ in range(tensor_count)]
    start = -(-reader.file.tell() // alignment) * alignment
    tensors = tuple(TensorInfo(t.name, t.shape, t.type, t.offset + start, t.bytes) for t in found)
    end = max((t.offset + t.bytes for t in tensors), default=start)
    if end > reader.size:
        raise ModelFileError(f"{path} is truncated: its tensors need {end} bytes, the file has {reader.size}.")
    return _describe(reader, metadata, tensors, start)


def _tensor(reader: _Reader) -> TensorInfo:
    name = reader.string()
    dims = reader.integer("<I")
    if dims > 4:
        raise ModelFileError(f"{reader.path} is damaged: tensor {name[:40]!r} has {dims} dimensions.")
    shape = tuple(reader.integer("<Q") for _ in range(dims))
    code, offset = reader.integer("<I"), reader.integer("<Q")
    if code not in TENSOR_TYPES:
        raise ModelFileError(f"{reader.path} holds tensor {name[:40]!r} of type {code}, which is not known here.")
    type_name, per_block, block_bytes = TENSOR_TYPES[code]
    values = 1
    for size in shape:
        values *= size
    if values % per_block:
        raise ModelFileError(f"{reader.path} is damaged: tensor {name[:40]!r} does not fill its {type_name} blocks.")
    return TensorInfo(name, shape, type_name, offset, values // per_block * block_bytes)


def _describe(reader: _Reader, metadata: dict[str, Value], tensors: tuple[TensorInfo, ...], start: int) -> GgufInfo:
    path = reader.path
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise ModelFileError(f"{path} does not say its architecture, so it is not a language model.")

    def number(key: str, default: int = 0) -> int:
        value = metadata.get(f"{architecture}.{key}", default)
        if isinstance(value, tuple) and value:
            value = value[0]
        return int(value) if isinstance(value, int | float) else default

    layers, heads, width = number("block_count"), number("attention.head_count"), number("embedding_length")
    if not layers or not heads or not width or not tensors:
        raise ModelFileError(f"{path} holds no language model: layers, heads, width or tensors are missing.")
    file_type = metadata.get("general.file_type")
    embedding = next((t for t in tensors if t.name == "token_embd.weight"), None)
    template = metadata.get("tokenizer.chat_template")
    name = metadata.get("general.name")
    return GgufInfo(
        path=path,
        architecture=architecture,
        name=name if isinstance(name, str) else path.stem,
        quantization=FILE_TYPES.get(file_type, "unknown") if isinstance(file_type, int) else "unknown",
        n_params=sum(tensor.values for tensor in tensors),
        n_ctx_train=number("context_length"),
        n_layer=layers,
        n_embd=width,
        n_head=heads,
        n_head_kv=number("attention.head_count_kv", heads) or heads,
        head_dim=number("attention.key_length", width // heads),
        n_vocab=embedding.shape[-1] if embedding and len(embedding.shape) == 2 else number("vocab_size"),
        file_bytes=reader.size,
        data_offset=start,
        chat_template=template if isinstance(template, str) else None,
        tensors=tensors,
        metadata=metadata,
    )
