"""What a byte of the model file is: tensor, block, field and bit.

Block layouts: github.com/ggml-org/ggml, src/ggml-common.h (block_q8_0 and its like); all little-endian.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from models.gguf_file import TENSOR_TYPES


class Tensor(Protocol):
    """What is needed to know of a tensor; `models.manifest.Tensor` and `models.gguf_file.TensorInfo` have it."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def offset(self) -> int: ...
    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True)
class Field:
    """A run of equal units in a block: `count` units of `unit` bytes each."""

    name: str
    unit: int
    count: int


LAYOUTS: Final[dict[str, tuple[Field, ...]]] = {
    "F32": (Field("float32", 4, 1),),
    "F16": (Field("float16", 2, 1),),
    "BF16": (Field("bfloat16", 2, 1),),
    "Q8_0": (Field("scale", 2, 1), Field("weight", 1, 32)),
    "Q4_0": (Field("scale", 2, 1), Field("weights", 1, 16)),
    "Q4_K": (Field("scale", 2, 1), Field("minimum", 2, 1), Field("scales", 1, 12), Field("weights", 1, 128)),
    "Q5_K": (
        Field("scale", 2, 1),
        Field("minimum", 2, 1),
        Field("scales", 1, 12),
        Field("high bits", 1, 32),
        Field("weights", 1, 128),
    ),
    "Q6_K": (Field("weights", 1, 128), Field("high bits", 1, 64), Field("scales", 1, 16), Field("scale", 2, 1)),
}
"""Blocks as they lie in the file. Other types are told by tensor, block and byte."""

_BLOCK_BYTES: Final = {name: size for name, _, size in TENSOR_TYPES.values()}


@dataclass(frozen=True)
class Place:
    """One bit of the file. `bit` counts from the least significant of unit `index` of `field` in `block` of `tensor`.

    Outside of tensors `tensor` is empty, `field` is "header" or "padding", and `block` and `index` are 0.
    """

    offset: int
    tensor: str
    type: str
    block: int
    field: str
    index: int
    bit: int

    def __str__(self) -> str:
        """As in "blk.3.ffn_up.weight, block 1234, scale, bit 14"."""
        if not self.tensor:
            return f"{self.field}, byte {self.offset}, bit {self.bit}"
        unit = f"{self.field} {self.index}" if self.index else self.field
        return f"{self.tensor}, block {self.block}, {unit}, bit {self.bit}"


class TensorMap:
    """The tensors of one file in order of their bytes."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        """Sort them by offset; they must not overlap."""
        self._tensors = tuple(sorted(tensors, key=lambda tensor: tensor.offset))
        self._starts = [tensor.offset for tensor in self._tensors]

    def place(self, offset: int, bit: int) -> Place:
        """What bit `bit` (0 = least significant) of byte `offset` is."""
        number = bisect_right(self._starts, offset) - 1
        if number < 0:
            return Place(offset, "", "", 0, "header", 0, bit)
        tensor = self._tensors[number]
        inside = offset - tensor.offset
        if inside >= tensor.bytes:
            return Place(offset, "", "", 0, "padding", 0, bit)
        size = _BLOCK_BYTES.get(tensor.type, 1)
        block, byte = divmod(inside, size)
        name, index, field_bit = _field(tensor, byte, bit)
        return Place(offset, tensor.name, tensor.type, block, name, index, field_bit)

    def tensors(self, start: int, end: int) -> tuple[str, ...]:
        """Names of the tensors that have bytes from `start` to `end`."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        last = bisect_right(self._starts, end - 1)
        return tuple(t.name for t in self._tensors[first:last] if t.offset + t.bytes > start)


def _field(tensor: Tensor, byte: int, bit: int) -> tuple[str, int, int]:
    """Field name, index of the unit, bit of the unit, for bit `bit` of byte `byte` of a block."""
    for field in LAYOUTS.get(tensor.type, ()):
        if byte < field.unit * field.count:
            index, inner = divmod(byte, field.unit)
            return _named(field.name, tensor.name), index, 8 * inner + bit
        byte -= field.unit * field.count
    return "byte", byte, bit


def _named(field: str, tensor: str) -> str:
    """Unquantized vectors are called by what they do: a flipped norm scales a channel of every token."""
    if field != "float32":
        return field
    if "norm" in tensor:
        return "norm"
    return "bias" if tensor.endswith(".bias") else field
