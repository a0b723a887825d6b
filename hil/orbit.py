"""Contacts from an orbit: SGP4, one rotation to the Earth, elevation above a station.

Positions are in kilometres, angles in degrees, times are seconds of UTC since 1970 (mission time). Against Skyfield
the rise and set times differ by less than a second and elevations by less than 0.01°
(tests/interop/test_orbit_skyfield.py). Neglected: polar motion, UT1 - UTC (under a second, 0.004° of rotation),
refraction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sgp4.api import Satrec

from hil.errors import OrbitError

LIGHT_KM_S = 299_792.458
EARTH_RADIUS_KM = 6378.137
"""Equatorial radius of WGS 84."""
FLATTENING = 1 / 298.257223563
"""Flattening of WGS 84."""
JULIAN_UNIX = 2_440_587.5
"""Julian date of 1970-01-01T00:00Z."""
DAY_S = 86_400.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Station:
    """A ground station: geodetic latitude and longitude in degrees (east positive), altitude in metres, elevation
    mask in degrees.
    """

    name: str
    latitude: float
    longitude: float
    altitude_m: float = 0.0
    mask: float = 5.0


@dataclass(frozen=True)
class Pass:
    """One contact: rise and set in mission time, and the highest elevation seen in between, in degrees."""

    rise: float
    set: float
    highest: float


class Orbit:
    """A satellite from its two-line elements (SGP4, WGS 72 as the elements are made for)."""

    def __init__(self, line1: str, line2: str, name: str = "satellite") -> None:
        for number, line in enumerate((line1, line2), start=1):
            _check_tle_line(line, number)
        self.name = name
        self.satellite = Satrec.twoline2rv(line1, line2)

    @classmethod
    def from_file(cls, path: Path) -> Orbit:
        """Read a TLE file: two lines, or a name and two lines."""
        try:
            lines = [line.rstrip() for line in path.read_text().splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise OrbitError(f"cannot read the TLE file {path}: {error}") from error
        if len(lines) not in (2, 3):
            raise OrbitError(f"expected a TLE of 2 lines, or 3 with its name, in {path}, found {len(lines)}")
        return cls(lines[-2], lines[-1], lines[0].strip() if len(lines) == 3 else path.stem)

    @property
    def epoch(self) -> float:
        """Epoch of the elements, in mission time."""
        return float((self.satellite.jdsatepoch - JULIAN_UNIX + self.satellite.jdsatepochF) * DAY_S)

    def positions(self, times: Floats) -> tuple[Floats, Floats]:
        """Positions [n, 3] in TEME and in the rotating frame of the Earth, for `times` [n]."""
        days = np.floor(times / DAY_S)
        fractions = times / DAY_S - days
        codes, teme, _ = self.satellite.sgp4_array(days + JULIAN_UNIX, fractions)
        if codes.any():
            raise OrbitError(f"SGP4 cannot propagate {self.name} to the time asked for (error code {int(codes.max())})")
        return teme, to_earth(teme, times)

    def look(self, station: Station, times: Floats) -> tuple[Floats, Floats]:
        """Elevation in degrees and slant range in km, each [n], seen from `station` at `times`."""
        _, earth = self.positions(times)
        place, up = station_vectors(station)
        line = earth - place
        distance = np.linalg.norm(line, axis=1)
        return np.degrees(np.arcsin(line @ up / distance)), distance

    def owlt(self, station: Station, times: Floats) -> Floats:
        """One-way light time in seconds [n] between `station` and the satellite at `times`."""
        return self.look(station, times)[1] / LIGHT_KM_S

    def passes(self, station: Station, start: float, duration_s: float, step_s: float = 10.0) -> list[Pass]:
        """Contacts above the mask from `start` on; rise and set by linear interpolation of the elevation.

        A contact that is under way at either end is cut at that end.
        """
        if duration_s <= 0 or step_s <= 0:
            raise OrbitError(f"expected a positive duration and step, found {duration_s} s and {step_s} s")
        times = start + np.arange(0.0, duration_s + step_s, step_s)
        times[-1] = start + duration_s
        height = self.look(station, times)[0] - station.mask
        above = height >= 0
        edges = np.flatnonzero(above[1:] != above[:-1])
        crossings = times[edges] + (times[edges + 1] - times[edges]) * height[edges] / (
            height[edges] - height[edges + 1]
        )
        bounds = [*([start] if above[0] else []), *crossings.tolist(), *([float(times[-1])] if above[-1] else [])]
        found = []
        for rise, end in zip(bounds[::2], bounds[1::2], strict=True):
            inside = np.concatenate([[rise], times[(times > rise) & (times < end)], [end]])
            found.append(Pass(rise, end, float(self.look(station, inside)[0].max())))
        return found


def _check_tle_line(line: str, number: int) -> None:
    if len(line) < 69 or line[0] != str(number):
        raise OrbitError(
            f"expected line {number} of a TLE (69 characters, the first is '{number}'), found '{line[:24]}'"
        )
    total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68]) % 10
    if line[68] != str(total):
        raise OrbitError(f"line {number} of the TLE is damaged: expected checksum {total}, found '{line[68]}'")


def sidereal_angle(times: Floats) -> Floats:
    """Greenwich mean sidereal time in radians (IAU 1982, as SGP4's TEME frame wants it), with UTC for UT1."""
    centuries = (times / DAY_S + JULIAN_UNIX - 2_451_545.0) / 36_525.0
    days = times / DAY_S
    polynomial = 67_310.548_41 + centuries * (8_640_184.812_866 + centuries * (0.093_104 - centuries * 6.2e-6))
    # 876,600 h a century of solar days are whole turns but for the fraction of the day, which keeps its digits.
    turns = (polynomial / DAY_S + (days + JULIAN_UNIX - 2_451_545.0) % 1.0) % 1.0
    return np.asarray(turns * 2 * np.pi, dtype=np.float64)


def to_earth(teme: Floats, times: Floats) -> Floats:
    """Turn positions [n, 3] from TEME into the rotating frame of the Earth at `times` [n]."""
    angle = sidereal_angle(times)
    cos, sin = np.cos(angle), np.sin(angle)
    x, y, z = teme.T
    return np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=1)


def station_vectors(station: Station) -> tuple[Floats, Floats]:
    """Place [3] in km in the rotating frame (WGS 84), and the unit vector [3] of the geodetic vertical."""
    latitude, longitude = np.radians(station.latitude), np.radians(station.longitude)
    up = np.array([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])
    squared = FLATTENING * (2 - FLATTENING)
    curve = EARTH_RADIUS_KM / np.sqrt(1 - squared * np.sin(latitude) ** 2)
    height = station.altitude_m / 1000
    return np.array([curve + height, curve + height, curve * (1 - squared) + height]) * up, up


def parse_station(text: str, mask: float = 5.0) -> Station:
    """Read 'LAT,LON' or 'LAT,LON,ALT_M', in degrees north and east and metres."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or abs(numbers[0]) > 90 or abs(numbers[1]) > 180:
        raise OrbitError(
            f"expected a station like 78.23,15.39 or 78.23,15.39,450 (north, east, metres), found '{text}'"
        )
    return Station("station", numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else 0.0, mask)


def parse_time(text: str) -> float:
    """Read an ISO 8601 time (UTC without a zone) as mission time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise OrbitError(f"expected a time like 2026-11-20T12:00:00Z, found '{text}'") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
