"""A receipt from a flying process to `ground verify`: real flight, real station, no link between them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ground.client import GroundClient
from hil.scenario import load_scenario
from hil.stack import Stack

pytestmark = pytest.mark.slow


def test_what_a_real_spacecraft_signed_is_authentic_until_somebody_changes_it(tmp_path: Path) -> None:
    """The key comes from the fresh data directory of flight; the archive is changed while the station is down."""
    with Stack(load_scenario("quiet"), tmp_path / "run", link=False) as stack:
        with GroundClient(stack.api) as ground:
            query = ground.ask("What is a watchdog?", temperature=0.7, seed=5).wait(60)
            assert query.verdict == "VERIFIED"
            found = query.verify()
            assert (found["seal"], found["differs"]) == ("AUTHENTIC", [])
        stack.processes["ground"].stop()
        with sqlite3.connect(stack.folder / "ground" / "archive.sqlite") as archive:
            archive.execute("UPDATE queries SET asked = replace(asked, '\"seed\": 5', '\"seed\": 6')")
        archive.close()
        stack.launch("ground")
        stack.wait_ready()
        with GroundClient(stack.api) as ground:
            found = ground.query(query.id).verify()
            assert (found["seal"], found["differs"]) == ("ALTERED", ["seed"])
