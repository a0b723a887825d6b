"""docs/integrity.md speaks of what is there: every test it names exists, and every switch."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from flight.settings import FlightSettings
from ground.settings import GroundSettings
from spacelink import DICTIONARY

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "integrity.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[a-z_/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_is_named_exists(file: str, name: str) -> None:
    functions = {
        each.name for each in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(each, ast.FunctionDef)
    }
    assert name in functions


def test_every_row_of_the_chain_names_a_test() -> None:
    chain = PAGE[PAGE.index("## On board") : PAGE.index("## Switches")]
    rows = [line for line in chain.splitlines() if line.startswith("| ") and not line.startswith(("| link", "|---"))]
    assert len(rows) > 15
    assert all("`tests/" in row for row in rows)


def test_every_switch_that_is_named_exists() -> None:
    table = PAGE[PAGE.index("| switch |") : PAGE.index("## What nobody notices")]
    named = re.findall(r"`(store|engine|integrity|link)\.(\w+)`", table)
    assert len(named) > 8
    for section, field in named:
        settings = GroundSettings if section == "link" else FlightSettings
        annotation = settings.model_fields[section].annotation
        assert annotation is not None
        assert field in annotation.model_fields


def test_every_event_that_is_named_exists() -> None:
    events = {
        each for each in re.findall(r"`((?:store|integrity)\.\w+)`", PAGE) if each.split(".")[1] not in _settings()
    }
    assert events
    assert events <= set(DICTIONARY.events)


def _settings() -> set[str]:
    sections = [FlightSettings.model_fields[name].annotation for name in ("store", "integrity")]
    return {field for section in sections if section is not None for field in section.model_fields}
