"""Mission time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacelink import MissionClock


def test_mission_time_runs_from_its_epoch_at_its_speed() -> None:
    """Ten monotonic seconds at speed 60 are ten minutes."""
    clock = MissionClock(epoch=1_795_000_000.0, speed=60.0, origin=1000.0)
    assert clock.at(1000.0) == 1_795_000_000.0
    assert clock.at(1010.0) == 1_795_000_600.0


@given(st.floats(0, 2e9), st.floats(0.01, 10_000), st.floats(0, 1e7), st.floats(0, 1e7))
def test_the_inverse_is_the_inverse(epoch: float, speed: float, origin: float, monotonic: float) -> None:
    """To within a microsecond of mission time, which is what a float of unix seconds holds."""
    clock = MissionClock(epoch, speed, origin)
    mission = clock.at(monotonic)
    assert clock.at(clock.monotonic(mission)) == pytest.approx(mission, rel=1e-12, abs=speed * 1e-8)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_clock_that_does_not_run_forward_is_refused(speed: float) -> None:
    """The sentence says what was found."""
    with pytest.raises(ValueError, match=r"above 0, found"):
        MissionClock(0.0, speed)
