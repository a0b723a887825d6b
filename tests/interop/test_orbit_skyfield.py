"""Skyfield as the witness of `hil.orbit`: contacts, elevation and range."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from skyfield.api import EarthSatellite, load, wgs84

from hil.orbit import Orbit, Station

LINE1 = "1 45000U 20001A   26320.50000000  .00001000  00000-0  50000-4 0  9990"
LINE2 = "2 45000  97.4000 250.0000 0010000  90.0000 270.0000 15.22000000    18"
STATIONS = [Station("Svalbard", 78.23, 15.39, 450.0, 5.0), Station("Awarua", -46.53, 168.38, 10.0, 5.0)]
DAY = 86_400.0


# Skyfield 1.55 sets an array's dtype, which NumPy 2.5 (chosen on Python 3.12 and later) deprecates: its affair.
@pytest.mark.filterwarnings("ignore:Setting the dtype on a NumPy array:DeprecationWarning:skyfield")
@pytest.mark.parametrize("station", STATIONS, ids=lambda station: station.name)
def test_rise_and_set_agree_within_a_second_and_elevation_within_a_hundredth_of_a_degree(
    station: Station,
) -> None:
    """Every contact of a day, and elevation and slant range on every minute of it."""
    orbit = Orbit(LINE1, LINE2)
    scale = load.timescale(builtin=True)
    seen = EarthSatellite(LINE1, LINE2, "witness", scale)
    place = wgs84.latlon(station.latitude, station.longitude, station.altitude_m)
    begin = datetime.fromtimestamp(orbit.epoch, UTC)

    ours = orbit.passes(station, orbit.epoch - 3600, DAY + 7200)
    times, kinds = seen.find_events(
        place, scale.from_datetime(begin), scale.from_datetime(begin + timedelta(days=1)), station.mask
    )
    for kind, edges in ((0, [p.rise for p in ours]), (2, [p.set for p in ours])):
        theirs = np.array([moment.timestamp() for moment in times[kinds == kind].utc_datetime()])
        assert len(theirs) >= 4
        nearest = np.abs(theirs[:, None] - np.array(edges)[None, :]).min(axis=1)
        assert nearest.max() < 1.0

    minutes = orbit.epoch + np.arange(0, DAY, 60.0)
    moments = scale.from_datetimes([datetime.fromtimestamp(t, UTC) for t in minutes])
    altitude, _, distance = (seen - place).at(moments).altaz()
    elevation, slant_range = orbit.look(station, minutes)
    assert np.abs(altitude.degrees - elevation).max() < 0.01
    assert np.abs(distance.km - slant_range).max() < 0.1
