"""Energy of a query: by the sensor, by an assumption, or unknown; never a zero that nobody measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.core.energy import Energy, EnergyMeter
from flight.settings import HealthSettings
from tests.flight.core.bench import Bench, finish


def test_readings_hold_until_the_next_one() -> None:
    meter = EnergyMeter(0.0)
    meter.reading(10.0, 0.0)
    meter.begin(0.5)
    meter.reading(20.0, 1.0)
    meter.reading(5.0, 2.0)
    assert meter.end(4.0) == Energy(10.0 * 0.5 + 20.0 * 1.0 + 5.0 * 2.0, "sensor")


@given(st.floats(0, 100), st.lists(st.floats(0.001, 5), min_size=1, max_size=20))
def test_a_steady_power_gives_power_times_time_however_often_it_is_read(watts: float, steps: list[float]) -> None:
    meter = EnergyMeter(0.0)
    meter.reading(watts, 0.0)
    meter.begin(0.0)
    now = 0.0
    for step in steps:
        now += step
        meter.reading(watts, now)
    assert meter.end(now).joules == pytest.approx(watts * now, abs=1e-9)


@pytest.mark.parametrize("assumed", [0.0, 15.0])
@pytest.mark.parametrize("late", [None, 12.0])
def test_a_sensor_that_failed_for_a_while_measured_nothing(assumed: float, late: float | None) -> None:
    """What it missed is unknown: the assumption stands for it, or nothing does."""
    meter = EnergyMeter(assumed)
    meter.reading(12.0, 0.0)
    meter.begin(1.0)
    meter.reading(None, 2.0)
    meter.reading(late, 3.0)
    assert meter.end(5.0) == (Energy(60.0, "model") if assumed else Energy(None, "none"))


def test_what_began_under_another_core_is_unknown() -> None:
    meter = EnergyMeter(15.0)
    meter.reading(12.0, 0.0)
    assert meter.end(5.0) == Energy()


def test_every_query_is_measured_by_itself() -> None:
    meter = EnergyMeter(0.0)
    meter.reading(10.0, 0.0)
    for began, ended in ((1.0, 2.0), (7.0, 7.5)):
        meter.begin(began)
        assert meter.end(ended) == Energy(10.0 * (ended - began), "sensor")


def test_a_receipt_carries_it_with_its_source(tmp_path: Path) -> None:
    """The query takes two seconds of a board at 9 W."""
    bench = Bench(tmp_path)
    bench.core.sensors({"PWR_W": 9.0}, bench.now)
    bench.ready()
    bench.ask(1)
    bench.time += 2.0
    finish(bench)
    word = bench.said("inference.receipt", query_id=1)[-1].args
    assert (word["energy_j"], word["energy_source"]) == (pytest.approx(18.0), "sensor")


def test_nothing_is_assumed_unless_it_is_set() -> None:
    assert HealthSettings().assumed_power_w == 0.0
