"""`orbitlm ground command` to a flying process: real flight, real station, and safe mode is left by it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ground.cli import UNDECIDED, app
from ground.client import GroundClient
from hil.files import read_json
from hil.process import wait_for
from hil.scenario import load_scenario
from hil.stack import Stack

pytestmark = pytest.mark.slow


def test_the_command_line_leads_flight_into_safe_mode_and_out_of_it(tmp_path: Path) -> None:
    """Questions are refused in between and answered afterwards; a silent spacecraft is no word, not a failure."""
    with Stack(load_scenario("quiet"), tmp_path / "run", link=False) as stack, GroundClient(stack.api) as ground:

        def command(*words: str) -> Result:
            unset = {name: None for name in os.environ if name.startswith("ORBITLM_GROUND_")}
            return CliRunner().invoke(app, ["command", *words], env={**unset, "ORBITLM_GROUND_URL": stack.api})

        def mode() -> str:
            return str((read_json(stack.folder / "flight" / "ready.json") or {}).get("mode"))

        entered = command("supervisor.enter_safe_mode")
        assert (entered.exit_code, entered.stdout) == (
            0,
            "Completed: the spacecraft has carried out supervisor.enter_safe_mode.\n",
        )
        wait_for(lambda: mode() == "safe", "safe mode", 30)
        assert ground.ask("What is a watchdog?").wait(60).reason == "safe_mode"
        refused = command("supervisor.restart_engine")
        assert refused.exit_code == 1
        assert "Rejected" in refused.stdout
        assert "not_in_this_mode" in refused.stdout
        left = command("supervisor.leave_safe_mode")
        assert (left.exit_code, left.stdout.split(":")[0]) == (0, "Completed")
        wait_for(lambda: mode() == "normal", "normal operation", 60)
        assert ground.ask("What is a watchdog?").wait(60).verdict == "VERIFIED"
        for name in ("core.noop", "integrity.report"):
            assert command(name).exit_code == 0
        wanted = {"core.noop", "integrity.status", "ground.command_given", "ground.command_answered"}
        wait_for(lambda: wanted <= {each["name"] for each in ground.events()}, "what they report", 30)
        stack.processes["flight"].stop()
        silent = command("core.ping", "--wait", "1")
        assert (silent.exit_code, silent.stdout.split(":")[0]) == (UNDECIDED, "No word yet")
