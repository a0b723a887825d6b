"""The thermal gate: no query starts while the processor is too hot. Pure."""

from __future__ import annotations


class ThermalGate:
    """Closes above `pause`, opens below `resume` (degC). An unknown temperature leaves it as it is."""

    def __init__(self, pause: float, resume: float) -> None:
        self._pause = pause
        self._resume = resume
        self.closed = False

    def update(self, cpu_temperature: float | None) -> bool:
        """Take the newest temperature; returns whether queries must wait."""
        if cpu_temperature is not None:
            if cpu_temperature > self._pause:
                self.closed = True
            elif cpu_temperature < self._resume:
                self.closed = False
        return self.closed
