"""What the command line draws."""

from __future__ import annotations

from typing import Any

import pytest

from ground.display import PROGRESS_S, LegsLive, passes_table, telemetry_table


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


def test_without_a_terminal_a_long_decode_is_told_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """Each leg at once; within one, news no more often than every few seconds, whole in one line and as it stands."""
    now = 100.0
    query: dict[str, Any] = {"times": {}, "tokens": 0, "segments": {"have": 0, "total": None}, "partial": ""}
    with LegsLive(lambda: now) as live:

        def shown(after_s: float, **news: Any) -> list[str]:
            nonlocal now
            now += after_s
            query.update(news)
            live.show(query)
            return capsys.readouterr().err.splitlines()

        assert len(shown(0.1, leg="DECODE", tokens=1)) == 1
        assert shown(0.1, tokens=5, segments={"have": 2, "total": None}, partial="gone " * 40 + "[bold] V4") == []
        (line,) = shown(PROGRESS_S)
        assert "5 tokens · segments 2/?" in line
        assert line.endswith("gone [bold] V4")
        assert shown(PROGRESS_S) == []
        assert shown(0.1, tokens=6) != []
        assert len(shown(0.1, leg="DELIVERED")) == 1
