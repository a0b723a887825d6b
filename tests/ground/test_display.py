"""What the command line draws."""

from __future__ import annotations

import pytest

from ground.display import telemetry_table


def test_telemetry_is_written_with_the_decimals_of_the_dictionary(capsys: pytest.CaptureFixture[str]) -> None:
    """A temperature has one, a number of bytes none and all its digits."""
    common = {"text": None, "limit": "ok", "time": "2026-11-20T12:00:00.000Z", "title": "", "unit": ""}
    telemetry_table(
        [common | {"channel": "CPU_T", "value": 41.25}, common | {"channel": "RSS_B", "value": 1288490188.0}]
    )
    shown = capsys.readouterr().out
    assert "41.2" in shown
    assert "1288490188" in shown
