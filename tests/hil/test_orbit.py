"""Contacts from an orbit, and the plan that comes of them."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hil.cli import app
from hil.errors import OrbitError
from hil.orbit import LIGHT_KM_S, Orbit, Station, parse_station
from hil.plan import FLIGHT_NODE, GROUND_NODE, orbit_windows, plan_of
from spacelink.contact import ContactPlan

LINE1 = "1 45000U 20001A   26320.50000000  .00001000  00000-0  50000-4 0  9990"
LINE2 = "2 45000  97.4000 250.0000 0010000  90.0000 270.0000 15.22000000    18"
SVALBARD = Station("Svalbard", 78.23, 15.39, 450.0, 5.0)
DAY = 86_400.0


@pytest.fixture(name="orbit")
def _orbit() -> Orbit:
    return Orbit(LINE1, LINE2)


def test_a_polar_orbit_passes_svalbard_on_nearly_every_revolution(orbit: Orbit) -> None:
    """A 500 km polar orbit has 10 to 15 contacts a day there, of 2 to 12 minutes, above the mask in between."""
    passes = orbit.passes(SVALBARD, orbit.epoch, DAY)
    assert 10 <= len(passes) <= 15
    for each in passes[1:-1]:
        assert 120 < each.set - each.rise < 720
        inside = orbit.look(SVALBARD, np.linspace(each.rise + 1, each.set - 1, 50))[0]
        assert inside.min() > SVALBARD.mask
        assert each.highest >= inside.max() - 0.5


def test_rise_and_set_do_not_depend_on_the_step(orbit: Orbit) -> None:
    """The interpolated times of a 10 s step lie within half a second of those of a 1 s step."""
    coarse, fine = (orbit.passes(SVALBARD, orbit.epoch, DAY, step_s=step) for step in (10.0, 1.0))
    assert len(coarse) == len(fine)
    for a, b in zip(coarse, fine, strict=True):
        assert abs(a.rise - b.rise) < 0.5
        assert abs(a.set - b.set) < 0.5


def test_the_light_time_is_the_slant_range_over_the_speed_of_light(orbit: Orbit) -> None:
    """From 500 km overhead to the horizon: 1.6 to 8 ms."""
    start, end, owlt = orbit_windows(orbit, SVALBARD, orbit.epoch, DAY)[3]
    times = orbit.epoch + np.linspace(start, end, 20)
    elevation, distance = orbit.look(SVALBARD, times)
    assert orbit.owlt(SVALBARD, times) == pytest.approx(distance / LIGHT_KM_S)
    assert 0.0016 < owlt < 0.008
    assert distance[elevation.argmax()] == pytest.approx(distance.min(), rel=1e-3)


@pytest.mark.parametrize(
    ("line1", "line2", "sentence"),
    [
        (LINE1[:40], LINE2, "line 1 of a TLE"),
        (LINE2, LINE1, "line 1 of a TLE"),
        (LINE1, LINE2[:-1] + "0", "checksum 8, found '0'"),
    ],
)
def test_a_damaged_tle_is_refused_with_the_line(line1: str, line2: str, sentence: str) -> None:
    """The message says which line and what was found."""
    with pytest.raises(OrbitError, match=sentence):
        Orbit(line1, line2)


@pytest.mark.parametrize("text", ["", "78", "north,east", "91,0", "0,181", "1,2,3,4"])
def test_a_station_that_is_none_is_refused(text: str) -> None:
    """The sentence shows what a station looks like."""
    with pytest.raises(OrbitError, match="expected a station like"):
        parse_station(text)


def test_the_plan_command_writes_a_plan_that_ground_can_read(tmp_path: Path, orbit: Orbit) -> None:
    """`orbitlm hil plan` writes HDTN's JSON shape with the epoch of the elements."""
    tle, out = tmp_path / "sat.tle", tmp_path / "plan.json"
    tle.write_text(f"TESTSAT\n{LINE1}\n{LINE2}\n")
    done = CliRunner().invoke(app, ["plan", "--tle", str(tle), "--station", "78.23,15.39,450", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "contacts of TESTSAT in 24 h" in done.output
    plan = ContactPlan.parse(out.read_bytes())
    windows = orbit_windows(orbit, SVALBARD, orbit.epoch, DAY)
    assert plan == plan_of(windows, 64_000.0, 1_000_000.0, orbit.epoch)
    start, end, _ = windows[1]
    middle = orbit.epoch + (start + end) / 2
    assert plan.active(middle, GROUND_NODE, FLIGHT_NODE) is not None
    assert plan.active(orbit.epoch + end + 1, GROUND_NODE, FLIGHT_NODE) is None


def test_the_plan_command_says_what_is_wrong_in_one_sentence(tmp_path: Path) -> None:
    """A missing file ends with exit code 1 and no traceback."""
    arguments = ["plan", "--tle", str(tmp_path / "none"), "--station", "1,2", "--out", str(tmp_path / "p")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "cannot read the TLE file" in done.output
