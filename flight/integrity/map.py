"""What a bit of the model file is, and where a bit of the model lies: tensor, block, field, index, bit ↔ byte and bit.

The blocks themselves are told in `models.gguf_layout`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from models.errors import LayoutError
from models.gguf_layout import BLOCK_BYTES, LAYOUTS, Layout, Meaning, Role


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
class Place:
    """One bit of the file: bit `bit` of element `index` of `field` (ggml's name) in `block` of `tensor`.

    `meaning` says what it does in the block, None where the layout of the type is not known: then `field` is "byte".
    Outside of tensors `tensor` is empty, `field` is "header" or "padding", and `block` and `index` are 0.
    """

    offset: int
    tensor: str
    type: str
    block: int
    field: str
    index: int
    bit: int
    meaning: Meaning | None = None

    def __str__(self) -> str:
        """As in "blk.3.ffn_up.weight, block 1234, scale, bit 14"."""
        if not self.tensor:
            return f"{self.field}, byte {self.offset}, bit {self.bit}"
        return f"{self.tensor}, block {self.block}, {self._what()}"

    def _what(self) -> str:
        if self.meaning is None:
            return f"{self.field} {self.index}, bit {self.bit}"
        role, number, bit = self.meaning.role, self.meaning.number, self.meaning.bit
        if role is Role.FLOAT:
            return f"{_calling(self.tensor, self.field)}, bit {bit}"
        return f"{role}, bit {bit}" if role in (Role.SCALE, Role.MINIMUM) else f"{role} {number}, bit {bit}"


def _calling(tensor: str, field: str) -> str:
    """Vectors that are not quantized are called by what they do: a flipped norm scales a channel of every token."""
    if "norm" in tensor:
        return "norm"
    return "bias" if tensor.endswith(".bias") else field


class TensorMap:
    """The tensors of one file in order of their bytes."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        """Sort them by offset; they must not overlap."""
        self._tensors = tuple(sorted(tensors, key=lambda tensor: tensor.offset))
        self._starts = [tensor.offset for tensor in self._tensors]
        self._by_name = {tensor.name: tensor for tensor in self._tensors}

    def place(self, offset: int, bit: int) -> Place:
        """What bit `bit` (0 = least significant) of byte `offset` is."""
        number = bisect_right(self._starts, offset) - 1
        if number < 0:
            return Place(offset, "", "", 0, "header", 0, bit)
        tensor = self._tensors[number]
        inside = offset - tensor.offset
        if inside >= tensor.bytes:
            return Place(offset, "", "", 0, "padding", 0, bit)
        block, byte = divmod(inside, BLOCK_BYTES.get(tensor.type, 1))
        layout = LAYOUTS.get(tensor.type)
        if layout is None:
            return Place(offset, tensor.name, tensor.type, block, "byte", byte, bit)
        slot = layout.at(byte, bit)
        return Place(offset, tensor.name, tensor.type, block, slot.field, slot.index, slot.bit, slot.meaning)

    def address(self, tensor: str, block: int, field: str, index: int, bit: int) -> tuple[int, int]:
        """(offset in the file, bit of that byte) of a field's bit: the inverse of `place`; LayoutError without one."""
        start, layout = self._block(tensor, block)
        byte, inner = layout.address(field, index, bit)
        return start + byte, inner

    def bits(self, tensor: str, block: int, role: Role, number: int = 0) -> tuple[tuple[int, int], ...]:
        """(offset, bit) of every bit of one number of a block, the lowest first, as in `Layout.bits`."""
        start, layout = self._block(tensor, block)
        return tuple((start + byte, bit) for byte, bit in layout.bits(role, number))

    def blocks(self, tensor: str) -> int:
        """How many blocks a tensor has."""
        found = self.tensor(tensor)
        return found.bytes // BLOCK_BYTES.get(found.type, 1)

    def tensor(self, name: str) -> Tensor:
        """The tensor of a name; LayoutError when the file has none."""
        found = self._by_name.get(name)
        if found is None:
            raise LayoutError(f"There is no tensor {name!r} in the file.")
        return found

    def tensors(self, start: int, end: int) -> tuple[str, ...]:
        """Names of the tensors that have bytes from `start` to `end`."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        last = bisect_right(self._starts, end - 1)
        return tuple(t.name for t in self._tensors[first:last] if t.offset + t.bytes > start)

    def _block(self, name: str, block: int) -> tuple[int, Layout]:
        """The offset of a block in the file and its layout."""
        tensor = self.tensor(name)
        layout = LAYOUTS.get(tensor.type)
        if layout is None:
            raise LayoutError(f"The layout of {tensor.type} blocks is not known here, so {name} has no fields.")
        if not 0 <= block < self.blocks(name):
            raise LayoutError(f"{name} has {self.blocks(name)} blocks: there is no block {block}.")
        return tensor.offset + block * layout.bytes, layout
