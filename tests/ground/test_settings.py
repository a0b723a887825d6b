"""The only home of defaults, and sentences about what is wrong with a configuration."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ground.errors import SettingsRefused
from ground.settings import GroundSettings, dump, load


def test_the_dumped_file_gives_exactly_the_same_settings(tmp_path: Path) -> None:
    """`config init` writes what `load` reads back, every field with its meaning above it."""
    settings = GroundSettings.model_validate(
        {"clock": {"origin": 12.5}, "api": {"allowed_hosts": ("a", "b")}, "data": '"\x7f\\é🛰'}
    )
    file = tmp_path / "ground.toml"
    file.write_text(dump(settings))
    assert load(file) == settings
    assert dump(GroundSettings()).count("\n# ") > 25
    assert tomllib.loads(dump(GroundSettings()))["link"]["bind"] == "127.0.0.1:10016"


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later wins, section by section."""
    file = tmp_path / "ground.toml"
    file.write_text('data = "file"\n[link]\nuplink_bps = 1.0\n[api]\nport = 1\n')
    monkeypatch.setenv("ORBITLM_GROUND_API__PORT", "2")
    monkeypatch.setenv("ORBITLM_GROUND_DATA", "environment")
    settings = load(file, {"data": "line"})
    assert (settings.data, settings.api.port, settings.link.uplink_bps) == ("line", 2, 1.0)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nonsense", "not valid TOML"),
        ("[link]\nbnd = 1\n", "link.bnd"),
        ("[clock]\nspeed = 0\n", "clock.speed"),
        ('[link]\nbind = "nowhere"\n', "link.bind"),
        ('[link]\npeer = "127.0.0.1:0"\n', "link.peer"),
        ('[link]\nbind = "0.0.0.0:10016"\n', "--insecure-link"),
        ('[link]\npeer = "192.168.1.7:10026"\n', "--insecure-link"),
        ('[api]\nhost = "0.0.0.0"\n', "--insecure-link"),
    ],
)
def test_a_bad_configuration_is_refused_with_a_sentence_that_names_the_place(
    tmp_path: Path, text: str, word: str
) -> None:
    """One sentence, with the setting in it."""
    file = tmp_path / "ground.toml"
    file.write_text(text)
    with pytest.raises(SettingsRefused, match=word) as caught:
        load(file)
    assert "\n" not in str(caught.value)


def test_addresses_beyond_loopback_are_taken_when_asked_for_in_words(tmp_path: Path) -> None:
    """--insecure-link is the way to say so."""
    file = tmp_path / "ground.toml"
    file.write_text('[link]\nbind = "0.0.0.0:10016"\npeer = "192.168.1.7:10026"\n')
    assert load(file, {"link": {"insecure": True}}).link.bind == "0.0.0.0:10016"
