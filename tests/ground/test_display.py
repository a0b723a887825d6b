"""What the command line draws."""

from __future__ import annotations

import pytest

from ground.display import passes_table, telemetry_table


def test_telemetry_is_written_with_the_decimals_of_the_dictionary(capsys: pytest.CaptureFixture[str]) -> None:
    """A temperature has one, a number of bytes none and all its digits."""
    common = {"text": None, "limit": "ok", "time": "2026-11-20T12:00:00.000Z", "title": "", "unit": ""}
    telemetry_table(
        [common | {"channel": "CPU_T", "value": 41.25}, common | {"channel": "RSS_B", "value": 1288490188.0}]
    )
    shown = capsys.readouterr().out
    assert "41.2" in shown
    assert "1288490188" in shown


def test_a_contact_fits_into_the_narrowest_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rise and set stay whole in 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    contact = {"aos": "2026-11-20T12:00:00.000Z", "los": "2026-11-21T12:00:00.000Z", "state": "past", "owlt_s": 0.0017}
    passes_table([contact | {"commands": 123, "packets": 45678, "delivered": 90}])
    shown = capsys.readouterr().out
    assert "11-20 12:00:00Z" in shown
    assert "11-21 12:00:00Z" in shown
    assert "…" not in shown
