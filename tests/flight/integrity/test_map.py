"""What a byte of the file is. Witness: the gguf package's dequantization says which values a flipped bit changes."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize
from hypothesis import given
from hypothesis import strategies as st

from flight.integrity.map import Place, TensorMap
from models.errors import LayoutError
from models.gguf_file import read_info
from models.gguf_layout import LAYOUTS, TENSOR_TYPES, Role
from models.manifest import Tensor, make
from models.random_weights import DIMS, write_random

SIZES = {name: (values, size) for name, values, size in TENSOR_TYPES.values()}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(DIMS["tiny"], tmp_path_factory.mktemp("tiny") / "tiny.gguf")


def place_in(kind: str, byte: int, bit: int) -> Place:
    tensor = Tensor(name="blk.0.ffn_up.weight", type=kind, offset=1000, bytes=3 * SIZES[kind][1])
    return TensorMap([tensor]).place(1000 + byte, bit)


def changed_values(kind: str, byte: int, bit: int) -> list[int]:
    """The values of three blocks that change with one flipped bit, by the gguf package.

    The blocks hold 0x3835 (fp16 0.526) in every pair of bytes, so that no field multiplies another away.
    """
    size = SIZES[kind][1]
    data = np.tile(np.array([0x35, 0x38], np.uint8), 3 * size // 2 + 1)[: 3 * size]
    other = data.copy()
    other[byte] ^= 1 << bit
    code = gguf.GGMLQuantizationType[kind]
    before, after = (dequantize(block.reshape(1, -1), code).ravel() for block in (data, other))
    return [int(number) for number in np.flatnonzero(before.view(np.uint32) != after.view(np.uint32))]


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_flip_changes_only_values_that_its_place_names(kind: str) -> None:
    """Every bit of the middle block; that it changes all of them is shown in tests/models/test_gguf_layout.py."""
    values, size = SIZES[kind]
    for byte in range(size, 2 * size):
        for bit in range(8):
            place, changed = place_in(kind, byte, bit), changed_values(kind, byte, bit)
            assert place.block == 1
            assert place.meaning is not None
            assert {number - values for number in changed} <= set(place.meaning.weights), place


@pytest.mark.parametrize("kind", LAYOUTS)
def test_address_is_the_inverse_of_place(kind: str) -> None:
    tensor = Tensor(name="w", type=kind, offset=1000, bytes=3 * SIZES[kind][1])
    found = TensorMap([tensor])
    assert found.blocks("w") == 3
    for at in range(tensor.bytes):
        for bit in range(8):
            place = found.place(1000 + at, bit)
            assert found.address("w", place.block, place.field, place.index, place.bit) == (1000 + at, bit)
            assert place.meaning is not None
            bits = found.bits("w", place.block, place.meaning.role, place.meaning.number)
            assert bits[place.meaning.bit] == (1000 + at, bit)


def test_a_place_that_is_not_there_is_refused_in_a_sentence() -> None:
    found = TensorMap(
        [Tensor(name="a", type="Q8_0", offset=64, bytes=68), Tensor(name="b", type="IQ4_XS", offset=200, bytes=136)]
    )
    for tensor, block, field, words in (
        ("c", 0, "d", "no tensor 'c'"),
        ("a", 2, "d", "has 2 blocks"),
        ("a", -1, "d", "has 2 blocks"),
        ("a", 0, "dmin", "no field 'dmin'; it has d, qs"),
        ("b", 0, "d", "layout of IQ4_XS"),
    ):
        with pytest.raises(LayoutError, match=words):
            found.address(tensor, block, field, 0, 0)
    with pytest.raises(LayoutError, match="no sub-scale 0"):
        found.bits("a", 0, Role.SUB_SCALE)


def test_a_q8_0_block_is_told_to_the_bit() -> None:
    """34 bytes: an fp16 scale, then 32 weights. Of a Q4_0 byte the high half is the weight 16 further on."""
    assert str(place_in("Q8_0", 34 + 1, 6)) == "blk.0.ffn_up.weight, block 1, scale, bit 14"
    assert str(place_in("Q8_0", 34 + 2 + 31, 7)) == "blk.0.ffn_up.weight, block 1, weight 31, bit 7"
    assert str(place_in("Q4_0", 18 + 5, 6)) == "blk.0.ffn_up.weight, block 1, weight 19, bit 2"
    assert str(place_in("Q6_K", 210 + 194, 7)) == "blk.0.ffn_up.weight, block 1, sub-scale 2, bit 7"


def test_unquantized_vectors_are_called_by_what_they_do() -> None:
    tensors = [Tensor(name=name, type="F32", offset=at, bytes=64) for name, at in
               (("blk.0.attn_norm.weight", 0), ("blk.0.attn_q.bias", 64), ("rope_freqs.weight", 128))]  # fmt: skip
    found = TensorMap(tensors)
    assert [str(found.place(at + 7, 6)) for at in (0, 64, 128)] == [
        "blk.0.attn_norm.weight, block 1, norm, bit 30",
        "blk.0.attn_q.bias, block 1, bias, bit 30",
        "rope_freqs.weight, block 1, float32, bit 30",
    ]


def test_a_type_without_a_layout_is_told_by_block_and_byte() -> None:
    place = place_in("IQ4_XS", 136 + 5, 3)
    assert (place.block, place.field, place.index, place.bit) == (1, "byte", 5, 3)


def test_every_byte_of_a_file_is_something(tiny: Path) -> None:
    """Header, padding, or a tensor of the reader's, in a block of that tensor."""
    info = read_info(tiny)
    found = TensorMap(info.tensors)
    by_name = {tensor.name: tensor for tensor in info.tensors}
    rng = np.random.default_rng(1)
    for offset in (0, info.data_offset - 1, *(int(n) for n in rng.integers(0, info.file_bytes, 4000))):
        place = found.place(offset, 0)
        holders = [t.name for t in info.tensors if t.offset <= offset < t.offset + t.bytes]
        assert holders == ([place.tensor] if place.tensor else [])
        if place.tensor:
            tensor = by_name[place.tensor]
            size = SIZES[tensor.type][1]
            assert tensor.offset + place.block * size <= offset < tensor.offset + (place.block + 1) * size
        else:
            assert place.field == ("header" if offset < info.data_offset else "padding")
            assert str(place) == f"{place.field}, byte {offset}, bit 0"


def test_bytes_between_tensors_are_padding() -> None:
    """They are in no block; a flip there changes nothing."""
    found = TensorMap(
        [Tensor(name="a", type="Q8_0", offset=64, bytes=34), Tensor(name="b", type="F32", offset=128, bytes=4)]
    )
    assert [found.place(at, 3).field for at in (63, 64, 97, 98, 127, 128, 131, 132)] == [
        "header", "d", "qs", "padding", "padding", "float32", "float32", "padding",
    ]  # fmt: skip
    assert found.place(98, 3).tensor == ""


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_tensors_of_a_range_are_those_that_have_bytes_in_it(start: int, length: int) -> None:
    tensors = [Tensor(name=str(at), type="I8", offset=at, bytes=30) for at in (40, 80, 110, 200)]
    expected = tuple(t.name for t in tensors if t.offset < start + length and t.offset + t.bytes > start)
    assert TensorMap(tensors).tensors(start, start + length) == expected


def test_the_manifest_and_the_reader_give_the_same_map(tiny: Path) -> None:
    ours, theirs = TensorMap(make(tiny).tensors), TensorMap(read_info(tiny).tensors)
    assert all(ours.place(at, 1) == theirs.place(at, 1) for at in range(0, tiny.stat().st_size, 997))
