"""The mission's formulas at their limits."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.campaign.interval import clopper_pearson
from hil.campaign.mission import RATES, mission, saa_wave, wrong_standing, wrong_windowed


def test_few_standing_flips_hurt_half_as_often_as_a_full_period_would_make_them() -> None:
    assert wrong_standing(1e-9, 0.1) == pytest.approx(1e6 * 1e-9 * 0.1 / 2)
    assert wrong_standing(1e-3, 0.1) == pytest.approx(1e6 * 1e-3 * 0.1 / 2, rel=1e-3)
    assert wrong_standing(1e9, 1.0) == pytest.approx(1e6, rel=1e-6)


def test_a_window_of_a_day_counts_every_upset_of_the_day() -> None:
    assert wrong_windowed(1e-6, 0.5, 86400) == pytest.approx(0.5, rel=1e-5)


def test_the_square_wave_keeps_its_mean() -> None:
    inside, peak, quiet = saa_wave()
    assert inside * peak + (1 - inside) * quiet == pytest.approx(1.0)


@given(st.integers(0, 50), st.integers(50, 500))
@settings(max_examples=30, deadline=None)
def test_more_upsets_never_make_a_mission_better(hits: int, trials: int) -> None:
    points = mission(8 * 4_657_248, clopper_pearson(hits, trials), clopper_pearson(0, 1000))
    assert len(points) == len(RATES)
    for one, other in pairwise(points):
        assert one.bare_wrong <= other.bare_wrong <= 1e6
        assert one.protected_bound <= other.protected_bound
    assert all(p.bare_wrong_low <= p.bare_wrong <= p.bare_wrong_high for p in points)
