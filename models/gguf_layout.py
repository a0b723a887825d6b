"""What every bit of a GGUF weight block is, in both directions: byte and bit ↔ field, index and bit ↔ what it does.

>>> layout = LAYOUTS["Q4_K"]
>>> layout.at(12, 5)                                # byte 12 of a block, bit 5 (0 = least significant)
Slot(field='scales', index=8, bit=5, meaning=Meaning(role='sub-minimum', number=4, bit=1, weights=range(128, 160)))
>>> layout.address("scales", 8, 5)                  # and back
(12, 5)
>>> layout.bits(Role.QUANT, 77)                     # the four bits of weight 77 of the block, lowest first
((61, 0), (61, 1), (61, 2), (61, 3))

Fields, indices and bits are those of the structs in github.com/ggml-org/ggml, src/ggml-common.h (`block_q8_0` and its
like, little-endian); meanings follow `dequantize_row_*` in src/ggml-quants.c. Standard library only: flight, the fault
injector and the tables of `orbitlm models` read this one source.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Final, Protocol

from models.errors import LayoutError

# ggml tensor types (ggml.h, enum ggml_type): name, values per block, bytes per block.
TENSOR_TYPES: Final[dict[int, tuple[str, int, int]]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}


class Role(StrEnum):
    """What a bit does, in `weight = scale · sub-scale · (quant − zero) − minimum · sub-minimum`.

    A type has some of these. Q4_1 and Q5_1 add their minimum; zero is 8 in Q4_0, 16 in Q5_0, 32 in Q6_K.
    """

    SCALE = "scale"
    """`d`: fp16, multiplies every weight of the block."""
    MINIMUM = "minimum"
    """`dmin` of the K types, `m` of Q4_1 and Q5_1: fp16, shifts every weight of the block."""
    SUB_SCALE = "sub-scale"
    """One of the integers in `scales`: multiplies 16 or 32 weights."""
    SUB_MINIMUM = "sub-minimum"
    """One of the integers in `scales`: shifts 32 weights."""
    QUANT = "weight"
    """The integer of one weight, in `qs`, `ql`, `qh`."""
    FLOAT = "float"
    """One value that is not quantized."""


@dataclass(frozen=True)
class Meaning:
    """Bit `bit` (0 = least significant) of number `number` of its role, and the weights of the block that it feeds."""

    role: Role
    number: int
    bit: int
    weights: range


@dataclass(frozen=True)
class Slot:
    """One bit of a block as it is stored: bit `bit` of element `index` of the struct's `field`, and what it means."""

    field: str
    index: int
    bit: int
    meaning: Meaning


@dataclass(frozen=True)
class Field:
    """A member of the block's struct: `count` elements of `unit` bytes; `format` is fp16, bf16, fp32, int8 or uint8."""

    name: str
    unit: int
    count: int
    format: str

    @property
    def bytes(self) -> int:
        """Return the size of the whole field."""
        return self.unit * self.count


_EXPONENT: Final = {"fp16": (10, 15), "bf16": (7, 15), "fp32": (23, 31)}


def float_part(form: str, bit: int) -> str:
    """Return "mantissa", "exponent" or "sign" for a bit of fp16, bf16 or fp32 (IEEE 754)."""
    mantissa, sign = _EXPONENT[form]
    return "mantissa" if bit < mantissa else "exponent" if bit < sign else "sign"


_Rule = Callable[[int, int], Meaning]
"""(index, bit) of a field -> what it means."""


@dataclass(frozen=True)
class Layout:
    """The block of one type: its fields in order of their bytes, and the meaning of each bit."""

    type: str
    values: int
    fields: tuple[Field, ...]
    rules: Mapping[str, _Rule]

    @property
    def bytes(self) -> int:
        """Return the size of a block."""
        return sum(field.bytes for field in self.fields)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Every bit of the block: slot `8 * byte + bit`."""
        return tuple(self._slots())

    def _slots(self) -> Iterator[Slot]:
        for field in self.fields:
            for index in range(field.count):
                for bit in range(8 * field.unit):
                    yield Slot(field.name, index, bit, self.rules[field.name](index, bit))

    def at(self, byte: int, bit: int) -> Slot:
        """Return what bit `bit` of byte `byte` of a block is."""
        if not (0 <= byte < self.bytes and 0 <= bit < 8):
            raise LayoutError(f"A {self.type} block has {self.bytes} bytes of 8 bits: there is no {byte}.{bit}.")
        return self.slots[8 * byte + bit]

    def field(self, name: str) -> Field:
        """Return a field by its name."""
        found = next((field for field in self.fields if field.name == name), None)
        if found is None:
            names = ", ".join(field.name for field in self.fields)
            raise LayoutError(f"A {self.type} block has no field {name!r}; it has {names}.")
        return found

    def address(self, field: str, index: int, bit: int) -> tuple[int, int]:
        """Return (byte, bit) in the block of bit `bit` of element `index` of a field: the inverse of `at`."""
        found = self.field(field)
        if not (0 <= index < found.count and 0 <= bit < 8 * found.unit):
            raise LayoutError(
                f"Field {field} of a {self.type} block has {found.count} elements of {8 * found.unit} bits: "
                f"there is no bit {bit} of element {index}."
            )
        start = sum(before.bytes for before in self.fields[: self.fields.index(found)])
        return start + found.unit * index + bit // 8, bit % 8

    @cached_property
    def _by_meaning(self) -> dict[tuple[Role, int], tuple[tuple[int, int], ...]]:
        found: dict[tuple[Role, int], list[tuple[int, int]]] = {}
        for place in sorted(range(len(self.slots)), key=lambda at: self.slots[at].meaning.bit):
            meaning = self.slots[place].meaning
            found.setdefault((meaning.role, meaning.number), []).append(divmod(place, 8))
        return {key: tuple(places) for key, places in found.items()}

    def bits(self, role: Role, number: int = 0) -> tuple[tuple[int, int], ...]:
        """Return (byte, bit) of every bit of one number, the lowest first; they need not be neighbours."""
        found = self._by_meaning.get((role, number))
        if found is None:
            raise LayoutError(f"A {self.type} block has no {role} {number}.")
        return found

    def count(self, role: Role) -> int:
        """Return how many numbers of a role a block has; 0 where the type has none."""
        return sum(found is role for found, _ in self._by_meaning)

    @property
    def half_bytes(self) -> int:
        """Return how many bytes of a quantized block are fp16 scales and minimums: the ones that hurt most."""
        return sum(field.bytes for field in self.fields if field.name in ("d", "dmin", "m"))


def _whole(role: Role, values: int) -> _Rule:
    return lambda index, bit: Meaning(role, 0, bit, range(values))


def _quant(weight: int, bit: int) -> Meaning:
    return Meaning(Role.QUANT, weight, bit, range(weight, weight + 1))


def _nibbles_32(index: int, bit: int) -> Meaning:
    """Q4_0 and its like: weight j in the low half of byte j, weight j + 16 in the high half."""
    return _quant(index + 16 * (bit // 4), bit % 4)


def _fifth_32(index: int, bit: int) -> Meaning:
    """Q5_0, Q5_1: 32 bits, the fifth of weights 0 to 31."""
    return _quant(8 * index + bit, 4)


def _nibbles_k(index: int, bit: int) -> Meaning:
    """Q4_K, Q5_K: each 32 bytes hold 64 weights, the first 32 in the low halves."""
    chunk, place = divmod(index, 32)
    return _quant(64 * chunk + 32 * (bit // 4) + place, bit % 4)


def _fifth_k(index: int, bit: int) -> Meaning:
    """Q5_K: bit k of byte l is the fifth of weight 32 k + l."""
    return _quant(32 * bit + index, 4)


def _scales_k(index: int, bit: int) -> Meaning:
    """Eight scales and eight minimums of 6 bits in 12 bytes (`get_scale_min_k4`).

    Bytes 0-3: scales 0-3, and above them the upper two bits of scales 4-7; bytes 4-7: the same for the minimums;
    bytes 8-11: the lower four bits of scales 4-7 and, above them, of minimums 4-7.
    """
    third, place = divmod(index, 4)
    if third == 2:
        role = Role.SUB_SCALE if bit < 4 else Role.SUB_MINIMUM
        number, inner = place + 4, bit % 4
    else:
        role = Role.SUB_SCALE if third == 0 else Role.SUB_MINIMUM
        number, inner = (place, bit) if bit < 6 else (place + 4, bit - 2)
    return Meaning(role, number, inner, range(32 * number, 32 * number + 32))


def _low_6k(index: int, bit: int) -> Meaning:
    """Q6_K `ql`: each 64 bytes hold 128 weights, the first 64 in the low halves."""
    chunk, place = divmod(index, 64)
    return _quant(128 * chunk + 64 * (bit // 4) + place, bit % 4)


def _high_6k(index: int, bit: int) -> Meaning:
    """Q6_K `qh`: byte l of each 32 holds the upper two bits of weights l, l + 32, l + 64, l + 96 of its 128."""
    chunk, place = divmod(index, 32)
    return _quant(128 * chunk + 32 * (bit // 2) + place, 4 + bit % 2)


def _scales_6k(index: int, bit: int) -> Meaning:
    return Meaning(Role.SUB_SCALE, index, bit, range(16 * index, 16 * index + 16))


def _float(index: int, bit: int) -> Meaning:
    return Meaning(Role.FLOAT, index, bit, range(index, index + 1))


def _half(name: str) -> Field:
    return Field(name, 2, 1, "fp16")


def _bytes(name: str, count: int) -> Field:
    return Field(name, 1, count, "uint8")


def _layout(kind: str, values: int, *parts: tuple[Field, _Rule]) -> Layout:
    rules = MappingProxyType({field.name: rule for field, rule in parts})
    return Layout(kind, values, tuple(field for field, _ in parts), rules)


def _d(values: int) -> tuple[Field, _Rule]:
    return _half("d"), _whole(Role.SCALE, values)


def _m(name: str, values: int) -> tuple[Field, _Rule]:
    return _half(name), _whole(Role.MINIMUM, values)


_QS_32: Final = (_bytes("qs", 16), _nibbles_32)
_QH_32: Final = (_bytes("qh", 4), _fifth_32)
_SCALES_K: Final = (_bytes("scales", 12), _scales_k)
_QS_K: Final = (_bytes("qs", 128), _nibbles_k)

LAYOUTS: Final[Mapping[str, Layout]] = MappingProxyType(
    {
        layout.type: layout
        for layout in (
            _layout("F32", 1, (Field("float32", 4, 1, "fp32"), _float)),
            _layout("F16", 1, (Field("float16", 2, 1, "fp16"), _float)),
            _layout("BF16", 1, (Field("bfloat16", 2, 1, "bf16"), _float)),
            _layout("Q4_0", 32, _d(32), _QS_32),
            _layout("Q4_1", 32, _d(32), _m("m", 32), _QS_32),
            _layout("Q5_0", 32, _d(32), _QH_32, _QS_32),
            _layout("Q5_1", 32, _d(32), _m("m", 32), _QH_32, _QS_32),
            _layout("Q8_0", 32, _d(32), (Field("qs", 1, 32, "int8"), _quant)),
            _layout("Q4_K", 256, _d(256), _m("dmin", 256), _SCALES_K, _QS_K),
            _layout("Q5_K", 256, _d(256), _m("dmin", 256), _SCALES_K, (_bytes("qh", 32), _fifth_k), _QS_K),
            _layout(
                "Q6_K",
                256,
                (_bytes("ql", 128), _low_6k),
                (_bytes("qh", 64), _high_6k),
                (Field("scales", 1, 16, "int8"), _scales_6k),
                _d(256),
            ),
        )
    }
)
"""Blocks as they lie in the file. Of other types only the size of a block is known (`TENSOR_TYPES`)."""

BLOCK_BYTES: Final[Mapping[str, int]] = MappingProxyType({name: size for name, _, size in TENSOR_TYPES.values()})
"""Bytes per block by type, for every type that ggml has."""


class Sized(Protocol):
    """A tensor by its type and size, as `models.gguf_file.TensorInfo` and `models.manifest.Tensor` are."""

    @property
    def type(self) -> str: ...
    @property
    def bytes(self) -> int: ...


def half_share(tensors: Iterable[Sized]) -> float:
    """Return the share of the tensors' bytes that are fp16 scales and minimums; none of a type without a layout."""
    sizes = _sizes(tensors)
    halves = sum(
        size // LAYOUTS[kind].bytes * LAYOUTS[kind].half_bytes for kind, size in sizes.items() if kind in LAYOUTS
    )
    return halves / max(sum(sizes.values()), 1)


def role_shares(tensors: Iterable[Sized]) -> dict[str, float]:
    """Return what the tensors' bits are: role -> share of all bits; "other" where no layout is known."""
    sizes = _sizes(tensors)
    bits: dict[str, int] = dict.fromkeys([*(str(role) for role in Role), "other"], 0)
    for kind, size in sizes.items():
        layout = LAYOUTS.get(kind)
        if layout is None:
            bits["other"] += 8 * size
            continue
        for slot in layout.slots:
            bits[slot.meaning.role] += size // layout.bytes
    return {role: count / max(8 * sum(sizes.values()), 1) for role, count in bits.items()}


def mean_reach(tensors: Iterable[Sized]) -> float:
    """Return how many weights one flipped bit changes, on average over all bits of all tensors of known layout."""
    bits, fed = 0, 0
    for kind, size in _sizes(tensors).items():
        if layout := LAYOUTS.get(kind):
            blocks = size // layout.bytes
            bits += blocks * len(layout.slots)
            fed += blocks * sum(len(slot.meaning.weights) for slot in layout.slots)
    return fed / max(bits, 1)


def _sizes(tensors: Iterable[Sized]) -> dict[str, int]:
    """Return the bytes of all tensors by type."""
    sizes: dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.bytes
    return sizes
