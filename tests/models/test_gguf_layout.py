"""What every bit of a weight block is. Witnesses: the gguf package's dequantization, and llama.cpp's own in C."""

import ctypes
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.errors import LayoutError
from models.gguf_layout import BLOCK_BYTES, LAYOUTS, TENSOR_TYPES, Layout, Meaning, Role, Slot, float_part, mean_reach
from models.manifest import Tensor

SIZES = {name: (values, size) for name, values, size in TENSOR_TYPES.values()}
QUANTIZED = [kind for kind, layout in LAYOUTS.items() if layout.values > 1]
ZERO = {"Q4_0": 8, "Q5_0": 16, "Q6_K": 32}
"""What is taken off the stored integer of a weight."""


def numbers(kind: str, role: Role, rng: np.random.Generator) -> NDArray[np.int64]:
    """Random stored numbers of a role, none of which makes a weight 0 (so that every factor shows)."""
    layout = LAYOUTS[kind]
    count, width = layout.count(role), len(layout.bits(role))
    found = rng.integers(1, 1 << width, count)
    return np.where(found == ZERO.get(kind, 0), 1, found) if role is Role.QUANT else found


def put(block: NDArray[np.uint8], places: tuple[tuple[int, int], ...], number: int) -> None:
    """Write a number into its bits, lowest first."""
    for order, (byte, bit) in enumerate(places):
        block[byte] = block[byte] & ~np.uint8(1 << bit) | np.uint8((number >> order & 1) << bit)


def made(kind: str, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A block written number by number through the layout, and the weights that it must mean."""
    layout, rng = LAYOUTS[kind], np.random.default_rng(seed)
    block = np.zeros(layout.bytes, np.uint8)
    found = {role: numbers(kind, role, rng) for role in Role if layout.count(role) and role is not Role.FLOAT}
    for role, half in ((Role.SCALE, 2.0**-9), (Role.MINIMUM, 2.0**-8)):
        if role in found:
            found[role][0] = int(np.float16(half).view(np.uint16))
    for role, values in found.items():
        for number, value in enumerate(values):
            put(block, layout.bits(role, number), int(value))
    quants = found[Role.QUANT].astype(np.float64)
    if kind == "Q8_0":
        quants = found[Role.QUANT].astype(np.uint8).view(np.int8).astype(np.float64)
    weights = 2.0**-9 * (quants - ZERO.get(kind, 0))
    if Role.SUB_SCALE in found:
        stored = found[Role.SUB_SCALE]
        scales = stored.astype(np.uint8).view(np.int8) if kind == "Q6_K" else stored
        weights *= np.repeat(scales.astype(np.float64), layout.values // len(scales))
    if Role.MINIMUM in found:
        minimums = found.get(Role.SUB_MINIMUM, np.ones(1, np.int64))
        sign = -1 if kind.endswith("K") else 1
        weights += sign * 2.0**-8 * np.repeat(minimums.astype(np.float64), layout.values // len(minimums))
    return block, weights.astype(np.float32)


def by_gguf(kind: str, blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    values: NDArray[np.float32] = dequantize(blocks, gguf.GGMLQuantizationType[kind])
    return values


def by_llama_cpp(kind: str, block: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Dequantize one block with ggml's C code, as llama-cpp-python ships it."""
    import llama_cpp

    library = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
    values = np.zeros(LAYOUTS[kind].values, np.float32)
    routine = library[f"dequantize_row_q{kind[1:]}"]
    routine.restype = None
    routine(
        ctypes.c_void_p(np.ascontiguousarray(block).ctypes.data),
        ctypes.c_void_p(values.ctypes.data),
        ctypes.c_int64(values.size),
    )
    return values


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_layout_fills_its_block_and_feeds_every_weight(kind: str) -> None:
    layout = LAYOUTS[kind]
    assert (layout.values, layout.bytes) == SIZES[kind]
    assert len(layout.slots) == 8 * layout.bytes
    fed = {weight for slot in layout.slots for weight in slot.meaning.weights}
    assert fed == set(range(layout.values))


@pytest.mark.parametrize("kind", LAYOUTS)
def test_address_and_bits_are_the_inverse_of_at_for_every_bit(kind: str) -> None:
    layout = LAYOUTS[kind]
    seen = set()
    for byte in range(layout.bytes):
        for bit in range(8):
            slot = layout.at(byte, bit)
            assert layout.address(slot.field, slot.index, slot.bit) == (byte, bit)
            meaning = slot.meaning
            assert layout.bits(meaning.role, meaning.number)[meaning.bit] == (byte, bit)
            seen.add((meaning.role, meaning.number, meaning.bit))
    assert len(seen) == 8 * layout.bytes


@pytest.mark.parametrize("kind", QUANTIZED)
@pytest.mark.parametrize("seed", range(5))
def test_a_block_written_through_the_layout_means_what_ggml_reads(kind: str, seed: int) -> None:
    """Every number has its bits where `ggml` looks for them, in the order of their weight."""
    block, weights = made(kind, seed)
    assert np.array_equal(by_gguf(kind, block.reshape(1, -1)).ravel(), weights)
    assert np.array_equal(by_llama_cpp(kind, block), weights)


@pytest.mark.parametrize("kind", QUANTIZED)
def test_a_flipped_bit_changes_exactly_the_weights_that_its_meaning_names(kind: str) -> None:
    """All bits of a block, one at a time; the copies around it would show a weight too many."""
    layout = LAYOUTS[kind]
    block, weights = made(kind, 7)
    flipped = np.tile(block, (8 * layout.bytes, 1))
    for place in range(8 * layout.bytes):
        flipped[place, place // 8] ^= np.uint8(1 << place % 8)
    with np.errstate(all="ignore"):
        found = by_gguf(kind, flipped)
    for place, values in enumerate(found):
        slot = layout.at(place // 8, place % 8)
        changed = np.flatnonzero(values.view(np.uint32) != weights.view(np.uint32))
        assert changed.tolist() == list(slot.meaning.weights), slot


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_a_float_is_its_own_block(kind: str) -> None:
    layout = LAYOUTS[kind]
    block = np.array([1.5], np.float32).view(np.uint8)[-layout.bytes :] if kind == "BF16" else None
    if block is None:
        block = np.array([1.5], np.float16 if kind == "F16" else np.float32).view(np.uint8)
    for place in range(8 * layout.bytes):
        other = block.copy()
        other[place // 8] ^= np.uint8(1 << place % 8)
        before, after = (by_gguf(kind, data.reshape(1, -1)).ravel() for data in (block, other))
        slot = layout.at(place // 8, place % 8)
        assert (slot.meaning.role, slot.meaning.bit, slot.bit) == (Role.FLOAT, place, place)
        assert before.view(np.uint32)[0] != after.view(np.uint32)[0]
        part = float_part(layout.fields[0].format, slot.bit)
        if part == "sign":
            assert after[0] == -before[0]
        elif part == "mantissa":
            assert 1 <= after[0] < 2
        else:
            assert not 1 <= after[0] < 2


def test_the_words_of_the_ggml_header_are_used() -> None:
    """Three bits that a person can check in ggml-common.h and `get_scale_min_k4`."""
    assert LAYOUTS["Q8_0"].at(1, 6) == Slot("d", 0, 14, Meaning(Role.SCALE, 0, 14, range(32)))
    assert LAYOUTS["Q4_K"].at(12, 5) == Slot("scales", 8, 5, Meaning(Role.SUB_MINIMUM, 4, 1, range(128, 160)))
    assert LAYOUTS["Q6_K"].at(208, 0) == Slot("d", 0, 0, Meaning(Role.SCALE, 0, 0, range(256)))
    assert LAYOUTS["Q4_K"].bits(Role.QUANT, 77) == ((61, 0), (61, 1), (61, 2), (61, 3))
    assert LAYOUTS["Q6_K"].bits(Role.QUANT, 40) == ((40, 0), (40, 1), (40, 2), (40, 3), (136, 2), (136, 3))


@pytest.mark.parametrize(
    ("kind", "percent"),
    [("Q8_0", 5.88), ("Q4_0", 11.11), ("Q4_1", 20.0), ("Q4_K", 2.78), ("Q5_K", 2.27), ("Q6_K", 0.95), ("F16", 0.0)],
)
def test_the_share_of_fp16_scales_is_that_of_the_struct(kind: str, percent: float) -> None:
    assert round(100 * LAYOUTS[kind].half_bytes / LAYOUTS[kind].bytes, 2) == percent


def all_layouts() -> st.SearchStrategy[Layout]:
    return st.sampled_from(sorted(LAYOUTS.values(), key=lambda layout: layout.type))


@given(all_layouts(), st.integers(-3, 300), st.integers(-3, 40))
def test_a_place_outside_of_the_block_is_refused_in_a_sentence(layout: Layout, index: int, bit: int) -> None:
    if 0 <= index < layout.bytes and 0 <= bit < 8:
        assert layout.address(layout.at(index, bit).field, layout.at(index, bit).index, layout.at(index, bit).bit)
    else:
        with pytest.raises(LayoutError, match=r"there is no .*\.$"):
            layout.at(index, bit)
    for field in layout.fields:
        if not (0 <= index < field.count and 0 <= bit < 8 * field.unit):
            with pytest.raises(LayoutError, match="there is no bit"):
                layout.address(field.name, index, bit)
    for role in Role:
        if not 0 <= index < layout.count(role):
            with pytest.raises(LayoutError, match="has no"):
                layout.bits(role, index)
    with pytest.raises(LayoutError, match="no field"):
        layout.address("colour", 0, 0)


def test_every_type_of_ggml_has_the_size_that_the_gguf_package_gives_it() -> None:
    """But Q8_1, never stored in a file: there the package has an older struct of 40 bytes, ggml-common.h has 36."""
    theirs = {kind.name: sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items() if kind.name in BLOCK_BYTES}
    assert {**theirs, "Q8_1": (32, 36)} == SIZES


@pytest.mark.parametrize(
    ("kind", "weights"),
    [("Q8_0", (16 * 32 + 256) / 272), ("Q4_0", (16 * 32 + 128) / 144), ("F16", 1.0),
     ("Q4_K", (32 * 256 + 96 * 32 + 1024) / 1152), ("Q6_K", (16 * 256 + 128 * 16 + 1536) / 1680)],
)  # fmt: skip
def test_the_mean_reach_of_a_flip_is_that_of_the_struct(kind: str, weights: float) -> None:
    """By hand: bits of the scale times weights of the block, bits of the sub-scales times theirs, one for the rest."""
    tensor = Tensor(name="w", type=kind, offset=0, bytes=7 * LAYOUTS[kind].bytes)
    assert mean_reach([tensor]) == pytest.approx(weights)
