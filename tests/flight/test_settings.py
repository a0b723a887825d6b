"""Settings as text and back, and the contradictions that are refused."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.errors import SettingsRefused
from flight.settings import FlightSettings, check, is_loopback, split_address
from flight.toml import render


@given(st.text(max_size=30).filter(lambda text: "\r" not in text), st.floats(1e-9, 1e9), st.integers(1, 1024))
def test_rendered_settings_read_back_the_same(data: str, seconds: float, length: int) -> None:
    text = data.encode("utf-8", "ignore").decode()
    settings = FlightSettings.model_validate({"data": text, "core": {"queue_length": length, "hk_period_s": seconds}})
    for comments in (False, True):
        assert FlightSettings.model_validate(tomllib.loads(render(settings, comments=comments))) == settings


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"link": {"bind": "no port"}}, "link.bind"),
        ({"link": {"peer": "127.0.0.1:0"}}, "link.peer"),
        ({"link": {"peer": "127.0.0.1:99999"}}, "link.peer"),
        ({"link": {"bind": "0.0.0.0:10025"}}, "--insecure-link"),
        ({"link": {"bind": "example.org:10025"}}, "--insecure-link"),
        ({"link": {"bind": "[::]:10025"}}, "--insecure-link"),
        ({"model": {"n_batch": 8, "n_ubatch": 16}}, "n_ubatch"),
        ({"health": {"pause_cpu_degc": 50.0}}, "resume_cpu_degc"),
        ({"engine": {"pace_tokens_per_s": 0.05}}, "pace_tokens_per_s"),
    ],
)
def test_contradictions_are_refused_by_name(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsRefused, match=said):
        check(FlightSettings.model_validate(values))


def test_addresses() -> None:
    assert split_address("[::1]:5", "x") == ("::1", 5)
    assert [is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "192.0.2.1", "::", "example.org")] == [False] * 4  # noqa: S104


def test_without_insecure_nothing_beyond_loopback_and_with_it_anything() -> None:
    check(FlightSettings.model_validate({"link": {"bind": "0.0.0.0:10025", "insecure": True}}))


def test_the_window_of_restarts_holds_as_many_of_the_slowest_hangs_as_end_in_the_other_slot() -> None:
    """Else a model that hangs while it loads would be started for ever: never five losses in one window."""
    settings = FlightSettings()
    own, slowest_s = settings.supervisor, max(settings.engine.loading_s, settings.engine.first_token_s)
    assert own.restarts * (slowest_s + own.backoff_max_s + own.answer_s) <= own.window_s
