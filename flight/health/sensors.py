"""What this machine says of itself, by the dictionary's channel names. Unknown is None, never zero."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

from flight.health.sysfs import Sysfs


class Sensors:
    """Reads sysfs and psutil; keeps nothing but what psutil needs for a load between two readings."""

    def __init__(self, sysfs: Path, data: Path) -> None:
        self._sysfs = Sysfs(sysfs)
        self._data = data
        self._first = True

    def read(self, pids: Iterable[int]) -> dict[str, float | None]:
        """One reading; `pids` are the flight processes whose memory counts."""
        return {
            "CPU_T": self._sysfs.cpu_temperature(),
            "GPU_T": self._sysfs.gpu_temperature(),
            "BRD_T": self._sysfs.board_temperature(),
            "PWR_W": self._sysfs.board_power(),
            "CPU_L": self._load(),
            "MEM_U": float(psutil.virtual_memory().percent),
            "DSK_U": self._disk(),
            "SOC": _battery(),
            "RSS_B": float(sum(_resident(pid) for pid in pids)),
        }

    def _load(self) -> float | None:
        """Share of all cores since the reading before; the first has nothing before it."""
        load = psutil.cpu_percent(interval=None)
        first, self._first = self._first, False
        return None if first else float(load)

    def _disk(self) -> float | None:
        try:
            return float(psutil.disk_usage(str(self._data)).percent)
        except OSError:
            return None


def _battery() -> float | None:
    """Charge of a laptop's battery, %; None where there is none or it cannot be read."""
    try:
        battery = psutil.sensors_battery()
    except (OSError, AttributeError, ValueError, IndexError, RuntimeError):
        return None
    return None if battery is None else float(battery.percent)


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.Error, OSError):
        return 0
