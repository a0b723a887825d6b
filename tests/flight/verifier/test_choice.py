"""What a row of logits chooses: the same as llama.cpp's samplers, and otherwise by no change below the margin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flight.inference.decoder import Decoder
from flight.inference.sampling import Sampler
from flight.verifier.choice import Style, choose
from tests.flight.verifier.rig import Rig

STYLES = st.builds(
    Style,
    temperature=st.sampled_from([0.0, 1e-40, 1e-6, 0.01, 0.3, 0.8, 1.0, 2.5]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.05]),
    top_k=st.sampled_from([0, 1, 5, 40]),
    seed=st.integers(0, 2**32 - 1),
)


def random_rows(seed: int, spread: float, rows: int = 3, size: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, (rows, size)).astype(np.float32)


@pytest.fixture(scope="module")
def sampled(_rig: Rig) -> Decoder:
    """A context whose last row of logits a test may overwrite."""
    _rig.decoder.clear()
    _rig.decoder.prefill([1, 2, 3], lambda: False, lambda _done: None)
    with Sampler(temperature=0, top_p=1, top_k=0, seed=0) as sampler:
        _rig.decoder.sample(sampler, 0)
    return _rig.decoder


@settings(max_examples=60, deadline=None)
@given(
    style=STYLES, seed=st.integers(0, 10_000), spread=st.sampled_from([0.5, 3.0, 12.0]), position=st.integers(0, 4000)
)
def test_it_chooses_what_llama_cpp_chooses(
    sampled: Decoder, style: Style, seed: int, spread: float, position: int
) -> None:
    """Another implementation of the same function of logits, seed and position; at a tie of the last bit either may."""
    row = sampled._row
    row[:] = np.random.default_rng(seed).normal(0, spread, row.size).astype(np.float32)
    tokens, margins = choose(row[None, :].copy(), style, position)
    values = {"temperature": style.temperature, "top_p": style.top_p, "top_k": style.top_k, "seed": style.seed}
    with Sampler(**values) as sampler:  # type: ignore[arg-type]
        theirs = sampled.sample(sampler, position)
    assert tokens[0] == theirs or margins[0] < 1e-4


@settings(max_examples=150, deadline=None)
@given(style=STYLES, seed=st.integers(0, 10_000), spread=st.sampled_from([0.5, 3.0, 12.0]), share=st.floats(0, 0.98))
# One token alone within 25 temperatures of the best: the margin was infinite, and the others could come.
@example(style=Style(temperature=0.3, top_p=1.0, top_k=0, seed=0), seed=186, spread=12.0, share=0.5)
def test_no_change_below_the_margin_chooses_otherwise(style: Style, seed: int, spread: float, share: float) -> None:
    """Every logit is moved up or down so that no gap changes by as much as the margin: the choice stays."""
    rows = random_rows(seed, spread)
    tokens, margins = choose(rows.copy(), style, 7)
    signs = np.random.default_rng(seed + 1).choice([-0.5, 0.5], rows.shape)
    moved = rows + (signs * np.minimum(margins, 50.0)[:, None] * share).astype(np.float32)
    again, _ = choose(moved.astype(np.float32), style, 7)
    clear = margins > 1e-3  # below, rounding of the rows themselves counts
    assert again[clear].tolist() == tokens[clear].tolist()


def test_a_greedy_margin_is_the_distance_of_the_best_two() -> None:
    rows = np.array([[0.0, 3.0, 2.5], [1.0, 1.0, 0.0]], np.float32)
    tokens, margins = choose(rows, Style(0, 1, 0, 0), 0)
    assert tokens.tolist() == [1, 0], "the first of the largest"
    assert margins.tolist() == [0.5, 0.0]
    assert rows.tolist() == [[0.0, 3.0, 2.5], [1.0, 1.0, 0.0]], "the rows are as they were"


def test_a_draw_close_to_a_border_has_a_small_margin() -> None:
    """Of many draws between two equal tokens, the least margin is small and the largest is not."""
    row = np.full((1, 50), -30.0, np.float32)
    row[0, 3] = row[0, 9] = 0.0
    margins = [choose(row.copy(), Style(1.0, 1, 0, seed), 0)[1][0] for seed in range(300)]
    assert min(margins) < 0.05
    assert max(margins) > 1.0


def test_where_the_order_decides_a_near_tie_of_the_order_counts() -> None:
    """With top-k the candidates are sorted, and two that change places exchange their shares."""
    row = np.full((1, 50), -30.0, np.float32)
    row[0, 3], row[0, 9] = 0.001, 0.0
    free = [choose(row.copy(), Style(1.0, 1, 0, seed), 0)[1][0] for seed in range(50)]
    ordered = [choose(row.copy(), Style(1.0, 1, 5, seed), 0)[1][0] for seed in range(50)]
    assert max(free) > 0.5
    assert max(ordered) <= 0.0011
