"""The mission's formulas at their limits, and its figure."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from hil.campaign.interval import Interval, clopper_pearson
from hil.campaign.mission import RATES, RELOAD_DAYS, mission, saa_wave, window_s, wrong_standing, wrong_windowed
from hil.campaign.mission_figure import caption, draw_mission
from hil.faults.patterns import Poisson


def test_few_standing_flips_hurt_half_as_often_as_a_full_period_would_make_them() -> None:
    assert wrong_standing(1e-9, 0.1) == pytest.approx(1e6 * 1e-9 * 0.1 / 2)
    assert wrong_standing(1e-3, 0.1) == pytest.approx(1e6 * 1e-3 * 0.1 / 2, rel=1e-3)
    assert wrong_standing(1e9, 1.0) == pytest.approx(1e6, rel=1e-6)


def test_a_window_of_a_day_counts_every_upset_of_the_day() -> None:
    assert wrong_windowed(1e-6, 0.5, 86400) == pytest.approx(0.5, rel=1e-5)


def test_a_flip_can_act_for_a_pass_and_an_answer() -> None:
    """Of a small model the scrubber's period counts; of a large one what a pass takes, and its own answers."""
    assert window_s(8 * 4_657_248, 0.1) == pytest.approx(3.0)
    assert window_s(8 * 640_000_000, 6.0) == pytest.approx(12.4)


def test_the_square_wave_keeps_its_mean() -> None:
    inside, peak, quiet = saa_wave()
    assert inside * peak + (1 - inside) * quiet == pytest.approx(1.0)


@given(st.integers(0, 50), st.integers(50, 500))
@settings(max_examples=30, deadline=None)
def test_more_upsets_never_make_a_mission_better(hits: int, trials: int) -> None:
    points = mission(8 * 4_657_248, clopper_pearson(hits, trials), clopper_pearson(0, 1000), 3.0)
    assert len(points) == len(RATES)
    for one, other in pairwise(points):
        assert one.bare_wrong <= other.bare_wrong <= 1e6
        assert one.protected_bound <= other.protected_bound <= other.protected_bound_saa
        assert one.protected_failures_per_day_bound <= other.protected_failures_per_day_bound
    assert all(p.bare_wrong_low <= p.bare_wrong <= p.bare_wrong_high for p in points)


def test_a_days_failures_are_the_mean_of_their_paces_within_and_outside_of_the_saa() -> None:
    inside, peak, quiet = saa_wave()
    bare, protected = clopper_pearson(5, 100), clopper_pearson(0, 100)
    for point in mission(8_000_000, bare, protected, 3.0):
        assert point.bare_failures_per_day == pytest.approx(point.upsets_per_day * 0.05)
        assert point.bare_failures_per_day_low < point.bare_failures_per_day < point.bare_failures_per_day_high
        assert point.protected_failures_per_day_bound == pytest.approx(point.upsets_per_day * protected.high)
        for mean, within in (
            (point.bare_failures_per_day, point.bare_failures_per_day_saa),
            (point.protected_failures_per_day_bound, point.protected_failures_per_day_bound_saa),
        ):
            assert within == pytest.approx(peak * mean)
            assert inside * within + (1 - inside) * quiet * mean == pytest.approx(mean)


def test_an_unprotected_answer_within_the_saa_is_wrong_as_often_as_any_other() -> None:
    """Its flips are those of a day: by the dose since the last load, over all phases of the load within the orbit."""
    step, period = 0.1, 1440 * RELOAD_DAYS
    wave = Poisson()
    minutes = np.arange(-period, wave.orbit_minutes, step)
    gathered = np.cumsum([wave.density(minute) for minute in minutes]) * step
    ages = np.arange(0, int(period / step))
    means = []
    for begin, end in ((0.0, wave.saa_minutes), (0.0, wave.orbit_minutes)):
        nows = np.arange(int((period + begin) / step), int((period + end) / step), 10)
        means.append(float(np.mean([(gathered[now] - gathered[now - ages]).mean() for now in nows])))
    assert means[0] == pytest.approx(means[1], rel=0.005)


def drawn(protected: Interval | None) -> tuple[dict[str, Any], list[list[Any]]]:
    """The values of a mission, and the lines in each panel of its figure."""
    points = [asdict(point) for point in mission(8_000_000, clopper_pearson(5, 100), protected, 3.0)]
    bare, shielded = asdict(clopper_pearson(5, 100)), asdict(protected) if protected else None
    found = {"bits": 8_000_000, "window_s": 3.0, "bare": bare, "protected": shielded, "points": points}
    figure = Figure()
    assert draw_mission(figure, found, "m")
    return found, [[line for line in axes.lines if len(line.get_xdata()) == len(RATES)] for axes in figure.axes]


def test_both_panels_have_the_protected_bound_and_what_it_is_within_the_saa() -> None:
    found, panels = drawn(clopper_pearson(0, 100))
    for lines, name in zip(panels, ("protected_bound", "protected_failures_per_day_bound"), strict=True):
        for style, value in (("-", name), (":", f"{name}_saa")):
            shown = [list(line.get_ydata()) for line in lines if line.get_linestyle() == style]
            assert [point[value] for point in found["points"]] in shown
    assert "after 5 of 100 uniform" in caption(found)
    assert "after 0 of 100, so the curves are bounds" in caption(found)


def test_a_mission_without_a_gate_shows_no_bound() -> None:
    found, panels = drawn(None)
    assert [len(lines) for lines in panels] == [1, 3]
    assert "Protected" not in caption(found)
