"""Sensors in sysfs: thermal zones, hwmon temperatures, and the INA3221 power monitor of Jetson boards.

A sensor that is missing, asleep or unreadable gives None, never zero. The root is a setting: tests bring a tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Kernel names, lower case: Jetson (r35: CPU-therm, r36: cpu-thermal), Raspberry Pi (cpu-thermal), PCs (x86_pkg_temp).
CPU_ZONES: Final = ("cpu-thermal", "cpu-therm", "cpu_thermal", "x86_pkg_temp", "tj-thermal", "soc-thermal")
GPU_ZONES: Final = ("gpu-thermal", "gpu-therm", "gpu_thermal")
BOARD_ZONES: Final = ("tboard-thermal", "tboard_tegra", "tdiode_tegra", "soc0-thermal", "ao-therm", "acpitz")
CPU_CHIPS: Final = ("coretemp", "k10temp", "zenpower", "cpu_thermal")

INPUT_RAILS: Final = ("vdd_in", "vin_sys_5v0", "pom_5v_in")
"""Rails of the INA3221 that carry the whole board's power (Orin and Xavier NX, AGX, Nano)."""

_TEMPERATURES = (-60.0, 200.0)
"""What can be true, degC: a zone that is switched off reports values like -256 or -274."""


class Sysfs:
    """The sensor files below one root."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def cpu_temperature(self) -> float | None:
        """Temperature of the processor, degC."""
        zone = self._zone(CPU_ZONES)
        return zone if zone is not None else self._chip(CPU_CHIPS)

    def gpu_temperature(self) -> float | None:
        """Temperature of the graphics processor, degC."""
        return self._zone(GPU_ZONES)

    def board_temperature(self) -> float | None:
        """Temperature of the board, degC."""
        return self._zone(BOARD_ZONES)

    def board_power(self) -> float | None:
        """Power that the board draws, W: the input rail, or the sum of all rails where none is named as input."""
        rails = dict(self._rails())
        for name in INPUT_RAILS:
            if name in rails:
                return rails[name]
        known = [power for power in rails.values() if power is not None]
        return sum(known) if rails and len(known) == len(rails) else None

    def _zone(self, names: tuple[str, ...]) -> float | None:
        """The first readable zone, in the order of `names`."""
        zones: dict[str, list[Path]] = {}
        for folder in sorted(self._root.glob("class/thermal/thermal_zone*")):
            zones.setdefault((_text(folder / "type") or "").lower(), []).append(folder)
        for name in names:
            for folder in zones.get(name, []):
                value = _temperature(folder / "temp")
                if value is not None:
                    return value
        return None

    def _chip(self, names: tuple[str, ...]) -> float | None:
        """The hottest reading of the first chip of these names."""
        for name in names:
            for folder in self._hwmon(name):
                values = [_temperature(path) for path in sorted(folder.glob("temp*_input"))]
                known = [value for value in values if value is not None]
                if known:
                    return max(known)
        return None

    def _rails(self) -> Iterator[tuple[str, float | None]]:
        """(name, W) of the rails of the INA3221: voltage in mV (inN_input) times current in mA (currN_input)."""
        for folder in self._hwmon("ina3221"):
            for label in sorted(folder.glob("in?_label")):
                name = (_text(label) or "").lower()
                number = label.name[2]
                if not name or name in ("nc", "sum of shunt voltages"):
                    continue
                millivolts, milliamperes = (
                    _number(folder / f"in{number}_input"),
                    _number(folder / f"curr{number}_input"),
                )
                unknown = millivolts is None or milliamperes is None
                yield name, None if unknown else (millivolts or 0.0) * (milliamperes or 0.0) / 1e6

    def _hwmon(self, name: str) -> list[Path]:
        return [folder for folder in sorted(self._root.glob("class/hwmon/hwmon*")) if _text(folder / "name") == name]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> float | None:
    text = _text(path)
    try:
        return float(int(text)) if text else None
    except ValueError:
        return None


def _temperature(path: Path) -> float | None:
    """Degrees Celsius from a file in thousandths; None for what cannot be true."""
    value = _number(path)
    if value is None:
        return None
    low, high = _TEMPERATURES
    return value / 1000 if low <= value / 1000 <= high else None
