"""What one event changes: within bounds, the start always among it, and in the shares that the sources give."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.errors import FaultError
from hil.faults.models import model_names, model_of
from hil.faults.patterns import BYTE_SHARE, ENTRY_BYTES, LANE, MULTI_SHARE, ROW_BYTES, Poisson
from hil.faults.upset import Upset

SIZE = 100_003
LOCAL = ("single", "multi", "upset", "two", "page", "row", "stuck")
SPANS = {
    "single": 1,
    "multi": ENTRY_BYTES,
    "upset": ENTRY_BYTES,
    "two": 4096,
    "page": 4096,
    "row": ROW_BYTES,
    "stuck": 1,
}


def bits(upsets: tuple[Upset, ...]) -> int:
    return sum(upset.mask.bit_count() for upset in upsets)


@given(st.sampled_from(LOCAL), st.integers(0, SIZE - 1), st.integers(0, 7), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_an_event_holds_its_start_stays_in_its_piece_of_memory_and_comes_again(
    name: str, offset: int, bit: int, seed: int
) -> None:
    model = model_of(name)
    upsets = model.strike((offset, bit), SIZE, Random(seed))
    assert upsets == model.strike((offset, bit), SIZE, Random(seed))
    first = offset - offset % SPANS[name]
    assert all(first <= upset.offset < min(first + SPANS[name], SIZE) and 0 < upset.mask < 256 for upset in upsets)
    assert len({upset.offset for upset in upsets}) == len(upsets)
    assert any(upset.offset == offset and upset.mask >> bit & 1 for upset in upsets)


@pytest.mark.parametrize(("name", "least", "most"), [("single", 1, 1), ("stuck", 1, 1), ("two", 2, 2), ("multi", 2, 8)])
def test_an_event_has_as_many_bits_as_its_name_says(name: str, least: int, most: int) -> None:
    counts = {bits(model_of(name).strike((500, 3), SIZE, Random(seed))) for seed in range(300)}
    assert min(counts) == least
    assert max(counts) == most


def test_events_have_the_shares_of_the_field() -> None:
    """Of 20,000 events 31.5 % hit several bits, three quarters of these within one byte, to four standard errors."""
    events = [model_of("upset").strike((500, 3), SIZE, Random(seed)) for seed in range(20_000)]
    several = [one for one in events if bits(one) > 1]
    share = len(several) / len(events)
    assert abs(share - MULTI_SHARE) < 4 * math.sqrt(MULTI_SHARE * (1 - MULTI_SHARE) / len(events))
    within = sum(len(one) == 1 for one in several) / len(several)
    # a wide event of two bits falls into the same byte now and then
    assert abs(within - BYTE_SHARE) < 0.02


def test_a_page_burst_flips_half_of_the_page() -> None:
    flipped = bits(model_of("page").strike((5000, 0), SIZE, Random(1)))
    assert abs(flipped - 16_384) < 4 * math.sqrt(32_768) / 2


def test_a_row_burst_hits_one_device_of_the_rank() -> None:
    upsets = model_of("row").strike((9_001, 0), SIZE, Random(1))
    assert {upset.offset % LANE for upset in upsets} == {9_001 % LANE}
    assert 400 < len(upsets) < 624


def test_a_stuck_bit_takes_both_values_unless_told() -> None:
    effects = Counter(model_of("stuck").strike((5, 3), SIZE, Random(seed))[0].effect for seed in range(200))
    assert set(effects) == {"one", "zero"}
    assert model_of("stuck:value=1").strike((5, 3), SIZE, Random(0))[0].apply(0) == 8
    assert model_of("stuck:value=0").strike((5, 3), SIZE, Random(0))[0].apply(255) == 0b1111_0111


def test_poisson_brings_its_rate() -> None:
    model = Poisson(rate=1e-4, days=2.0)
    events = [len(model.times(8 * SIZE, Random(seed))) for seed in range(40)]
    expected = 8 * SIZE * model.rate * exposure(model)
    assert abs(sum(events) / 40 - expected) < 4 * math.sqrt(expected / 40)
    struck = [bits(model.strike((0, 0), SIZE, Random(seed))) for seed in range(20)]
    assert all(count >= expected * 0.7 for count in struck)
    assert model_of("poisson:rate=0").strike((0, 0), SIZE, Random(0)) == ()


def test_poisson_falls_into_the_saa() -> None:
    """75 times the rate for 10 of 95 minutes is nine tenths of all upsets; the mean stays the rate."""
    model = Poisson(rate=1e-3, days=95 / 1440 * 20)
    times = model.times(8 * SIZE, Random(3))
    inside = sum(minute % 95 < 10 for minute in times) / len(times)
    expected = 750 / (750 + 85)
    assert abs(inside - expected) < 4 * math.sqrt(expected * (1 - expected) / len(times))
    assert exposure(model) == pytest.approx(model.days, rel=1e-3)


def test_poisson_strikes_as_the_wave_goes() -> None:
    """Ten minutes at the start are one passage: 8.5 times what ten minutes of the mean rate bring."""
    passage, mean = (
        model_of("poisson:rate=1e-3,days=0.00694444"),
        model_of("poisson:rate=1e-3,days=0.00694444,saa_factor=1"),
    )
    struck = [sum(bits(each.strike((0, 0), SIZE, Random(seed))) for seed in range(60)) for each in (passage, mean)]
    assert 7.5 < struck[0] / struck[1] < 9.6


def exposure(model: Poisson) -> float:
    """Days at the mean rate that bring as many upsets."""
    steps = round(1440 * model.days * 20)
    return sum(model.density(step / 20) for step in range(steps)) / 20 / 1440


def test_models_are_known_by_name_and_take_parameters() -> None:
    assert {"single", "multi", "upset", "two", "page", "row", "stuck", "poisson"} <= set(model_names())
    assert str(model_of("poisson:rate=1e-7,days=30")).startswith("poisson (rate 1e-07, days 30")
    with pytest.raises(FaultError, match="no fault model 'gamma'; there are"):
        model_of("gamma")
    with pytest.raises(FaultError, match="fault model row does not take"):
        model_of("row:density=7")
