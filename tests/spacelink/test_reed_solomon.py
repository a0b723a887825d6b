"""Reed-Solomon (255,223), I = 5."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacelink import galois, reed_solomon
from spacelink.reed_solomon import CODEBLOCK_BYTES, DEPTH, FRAME_BYTES, SYMBOLS


def frames(count: int, seed: int = 0) -> galois.Bytes:
    """Random frames uint8[count, 1115]."""
    return np.random.default_rng(seed).integers(0, 256, (count, FRAME_BYTES), np.uint8)


def damaged(blocks: galois.Bytes, errors: np.ndarray, seed: int = 0) -> galois.Bytes:
    """Blocks with `errors[frame, codeword]` wrong symbols in each codeword."""
    rng = np.random.default_rng(seed)
    wrong = blocks.copy()
    for (frame, word), count in np.ndenumerate(errors):
        places = rng.choice(SYMBOLS, count, replace=False) * DEPTH + word
        wrong[frame, places] ^= rng.integers(1, 256, count, np.uint8)
    return wrong


def test_the_generator_is_that_of_the_standard() -> None:
    """131.0-B §4.3.4 prints it: logarithms of its coefficients, the same forwards and backwards."""
    logs = [0, 249, 59, 66, 4, 43, 126, 251, 97, 30, 3, 213, 50, 66, 170, 5, 24]
    assert galois.logarithms()[reed_solomon._generator()].tolist() == [*logs, *reversed(logs[:-1])]


def test_frame_and_parity_are_dealt_out_byte_by_byte() -> None:
    """Codeword k has bytes k, k+5, … of the codeblock: a frame that is zero elsewhere has parity only there."""
    data = np.zeros((1, FRAME_BYTES), np.uint8)
    data[0, 3] = 1
    block = reed_solomon.encode(data)[0]
    assert block[:FRAME_BYTES].tobytes() == data.tobytes()
    assert np.flatnonzero(block).size == 33
    assert set(np.flatnonzero(block) % DEPTH) == {3}


def test_clean_codeblocks_pass() -> None:
    """Nothing corrected, all right."""
    data = frames(7)
    decoded = reed_solomon.decode(reed_solomon.encode(data))
    assert (decoded.data == data).all()
    assert decoded.ok.all()
    assert not decoded.corrected.any()


@pytest.mark.parametrize("errors", range(1, 17))
def test_up_to_16_wrong_symbols_in_each_codeword_are_undone(errors: int) -> None:
    """And counted, wherever they lie, in data and parity."""
    data = frames(6, errors)
    wrong = damaged(reed_solomon.encode(data), np.full((6, DEPTH), errors), errors)
    decoded = reed_solomon.decode(wrong)
    assert decoded.ok.all()
    assert (decoded.data == data).all()
    assert decoded.corrected.tolist() == [errors * DEPTH] * 6


@pytest.mark.parametrize("errors", [17, 18, 24, 64, 255])
def test_more_than_16_are_flagged(errors: int) -> None:
    """A miscorrection has odds of about 1 in 16!; the frame comes as it was received."""
    data = frames(50, errors)
    counts = np.zeros((50, DEPTH), np.int64)
    counts[:, errors % DEPTH] = errors
    wrong = damaged(reed_solomon.encode(data), counts, errors)
    decoded = reed_solomon.decode(wrong)
    assert not decoded.ok.any()
    assert not decoded.corrected.any()
    assert (decoded.data == wrong[:, :FRAME_BYTES]).all()


def test_one_lost_codeword_costs_its_frame_and_no_other() -> None:
    """Frames with clean, correctable and lost codewords beside each other, more of them than one batch step takes."""
    count = 300
    data = frames(count)
    counts = np.random.default_rng(5).integers(0, 17, (count, DEPTH))
    counts[::7] = 0
    counts[::11, 2] = 20
    decoded = reed_solomon.decode(damaged(reed_solomon.encode(data), counts))
    lost = np.arange(count) % 11 == 0
    assert (decoded.ok == ~lost).all()
    assert (decoded.data[~lost] == data[~lost]).all()
    assert decoded.corrected.tolist() == np.where(lost, 0, counts.sum(axis=1)).tolist()


def test_a_burst_of_80_bytes_is_spread_over_five_codewords() -> None:
    """What interleaving is for: 16 in each."""
    data = frames(1)
    for start in (0, 600, CODEBLOCK_BYTES - 80):
        wrong = reed_solomon.encode(data)
        wrong[0, start : start + 80] ^= 0xFF
        decoded = reed_solomon.decode(wrong)
        assert decoded.ok.all()
        assert (decoded.data == data).all()
        assert decoded.corrected[0] == 80


def test_a_correction_that_explains_all_syndromes_but_one_is_refused() -> None:
    """One wrong symbol explains 31 syndromes, and so does its locator; the first one says that it is not the truth."""
    syndromes = reed_solomon._syndromes(np.eye(1, 32, 5, dtype=np.uint8))
    assert reed_solomon._locate(syndromes).ok.tolist() == [True]
    syndromes[0, 0] ^= 1
    assert reed_solomon._locate(syndromes).ok.tolist() == [False]


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 16), min_size=DEPTH, max_size=DEPTH))
def test_any_pattern_within_the_bound_is_undone(seed: int, errors: list[int]) -> None:
    """Any data, any places, any values."""
    data = frames(1, seed)
    decoded = reed_solomon.decode(damaged(reed_solomon.encode(data), np.array([errors]), seed))
    assert decoded.ok.all()
    assert (decoded.data == data).all()


def test_nothing_in_nothing_out() -> None:
    """An empty batch is a batch."""
    none = np.zeros((0, FRAME_BYTES), np.uint8)
    assert reed_solomon.encode(none).shape == (0, CODEBLOCK_BYTES)
    assert reed_solomon.decode(reed_solomon.encode(none)).data.shape == (0, FRAME_BYTES)
