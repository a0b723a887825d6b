"""Fixtures of the flight tests: a flight process and a small ground that speaks with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.flight.client import Client
from tests.flight.process import Flight, settings_for

SCENE = """\
VESSELS
V12 AIS ON pos 12.10N 101.22E hdg 085 spd 14.2 len 180
V34 AIS OFF pos 12.31N 101.07E hdg 310 spd 3.1 len 42
V56 AIS OFF pos 12.02N 101.45E hdg 172 spd 22.5 len 96
V78 AIS ON pos 12.44N 101.63E hdg 020 spd 9.8 len 231
V90 AIS ON pos 12.27N 101.18E hdg 245 spd 17.3 len 150
"""


@pytest.fixture
def client() -> Iterator[Client]:
    """Ground in the small."""
    client = Client()
    yield client
    client.close()


@pytest.fixture
def flight(tmp_path: Path, client: Client) -> Iterator[Callable[..., Flight]]:
    """Make flight processes (not yet started) with a scene `bay` on board; all end with the test."""
    made: list[Flight] = []

    def make(name: str = "data", environment: Mapping[str, str] | None = None, **sections: Mapping[str, Any]) -> Flight:
        folder = tmp_path / name
        scenes = folder / "data" / "scenes"
        scenes.mkdir(parents=True, exist_ok=True)
        (scenes / "bay.txt").write_text(SCENE)
        made.append(Flight(settings_for(folder / "data", client, **sections), folder, environment))
        return made[-1]

    yield make
    for one in made:
        one.close()
