"""Intervals and sample sizes against published values, and as properties."""

from __future__ import annotations

import math
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.campaign.interval import clopper_pearson, percent_up, percents, sample_size, upper_bound


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_clopper_pearson_gives_the_values_that_newcombe_published(
    hits: int, trials: int, low: float, high: float
) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 5."""
    found = clopper_pearson(hits, trials)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_no_hit_in_n_follows_the_rule_of_three_on_one_side() -> None:
    assert upper_bound(0, 30_000) == pytest.approx(1 - 0.05 ** (1 / 30_000), rel=1e-9)
    assert upper_bound(0, 30_000) < 1e-4


def test_without_trials_everything_is_possible() -> None:
    found = clopper_pearson(0, 0)
    assert (found.low, found.high) == (0.0, 1.0)
    assert math.isnan(found.rate)


def test_more_hits_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        clopper_pearson(3, 2)


counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
@settings(max_examples=80, deadline=None)
def test_an_interval_holds_its_rate_and_mirrors_that_of_the_misses(count: tuple[int, int]) -> None:
    hits, trials = count
    found, mirror = clopper_pearson(hits, trials), clopper_pearson(trials - hits, trials)
    assert found.low <= found.rate <= found.high
    assert found.low == pytest.approx(1 - mirror.high, abs=1e-9)
    assert clopper_pearson(hits, trials, 0.99).high >= found.high


@given(st.integers(1, 40), st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_an_interval_misses_the_true_rate_in_five_percent_at_most(trials: int, rate: float) -> None:
    """The exact coverage: the sum of the binomial over all counts whose interval holds the rate."""
    covered = 0.0
    for hits in range(trials + 1):
        found = clopper_pearson(hits, trials)
        if found.low <= rate <= found.high:
            covered += comb(trials, hits) * rate**hits * (1 - rate) ** (trials - hits)
    assert covered >= 0.95 - 1e-12


def test_sample_sizes_are_those_of_leveugle() -> None:
    """Leveugle et al., DATE 2009: large populations, p = 0.5; 95 % and 1 %: 9,604; 95 % and 5 %: 385."""
    assert sample_size(10**10, 0.01) == 9604
    assert sample_size(10**10, 0.05) == 385
    assert sample_size(10**10, 0.01, 0.99) == 16588
    assert sample_size(1000, 0.05) < 385


@pytest.mark.parametrize(
    ("rate", "text"), [(1.0, "100 %"), (0.9955, "100 %"), (0.994, "100 %"), (0.99, "99 %"), (0.001034, "0.11 %")]
)
def test_a_bound_is_told_in_two_digits_rounded_up(rate: float, text: str) -> None:
    assert percent_up(rate) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.0, 1.0, "[0, 100]"),
        (0.000618, 0.008739, "[0.061, 0.88]"),
        (0.9973, 0.99951, "[99, 100]"),
        (0.3, 0.3, "[30, 30]"),
    ],
)
def test_an_interval_is_told_rounded_outwards(low: float, high: float, text: str) -> None:
    """Rounded to nearest, an end may promise more than was shown."""
    assert percents(low, high) == text


@given(low=st.floats(0, 1), high=st.floats(0, 1))
def test_what_is_told_always_holds_what_was_found(low: float, high: float) -> None:
    """But for what floats are off by."""
    told = [float(end) / 100 for end in percents(low, high).strip("[]").split(", ")]
    assert told[0] <= low * (1 + 1e-7)
    assert told[1] >= high * (1 - 1e-7)
