"""Housekeeping: what the board's sensors say, limit checks, the thermal gate, and the scene made of live telemetry."""
