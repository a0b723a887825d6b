"""Campaigns as processes on Dask: killed and resumed, a worker killed, replayed, told; and nothing left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from hil.campaign.lane import Lane
from hil.campaign.options import Options
from hil.campaign.plan import load_plan
from hil.campaign.results import Results
from hil.campaign.runner import run_plan
from hil.errors import CampaignError
from hil.process import ended, wait_for
from tests.hil.campaign.rows import Quiet

pytestmark = pytest.mark.slow

PLAN = """
name = "process-test"
description = "A few faults."
seed = 4
[questions]
families = ["closed-book"]
count = 2
[arms.protected]
[arms.bare]
assurance = "none"
settings.integrity = { pages = false, replay = false }
[[strata]]
name = "scale"
count = 14
where = { roles = ["scale"], bits = [13, 14] }
[[strata]]
name = "uniform"
count = 14
model = ["upset"]
"""
DEADLINE_S = 240.0


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The same campaign without Dask and without any trouble."""
    folder = tmp_path_factory.mktemp("unbroken")
    (folder / "plan.toml").write_text(PLAN)
    return run_plan(load_plan(str(folder / "plan.toml")), Options(folder / "out", workers=0), Quiet())


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "hil", "campaign", *map(str, words)]


def until(what: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Wait for a condition while a process runs."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := what():
            return found
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def identities(results: Results) -> list[tuple[Any, ...]]:
    return [row.identity() for row in results.rows()]


def test_a_killed_campaign_resumes_and_ends_with_the_rows_of_an_unbroken_one(
    plan: Path, tmp_path: Path, unbroken: Results
) -> None:
    out = tmp_path / "out"
    process = start(command("run", plan, "--workers", 1, "--out", out))
    with process:
        until(lambda: list((out / "rows").glob("[0-9]*.parquet")), process)
        members = family(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    wait_for(lambda: all(ended(one.pid) for one in members), "the end of its family", 60)
    done = len(Results(out).rows())
    assert 0 < done < 56
    with pytest.raises(CampaignError, match="--resume"):
        run_plan(load_plan(str(plan)), Options(out, workers=0), Quiet())
    resumed = subprocess.run(
        command("run", plan, "--workers", 0, "--out", out, "--resume"), capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stderr
    assert identities(Results(out)) == identities(unbroken)
    assert "silent" in resumed.stdout
    assert (out / "report.html").exists()


def test_a_worker_that_is_killed_costs_no_row(plan: Path, tmp_path: Path, unbroken: Results) -> None:
    out = tmp_path / "out"
    process = start(command("run", plan, "--workers", 1, "--out", out))
    with process:
        until(lambda: list((out / "rows").glob("[0-9]*.parquet")), process)
        nurseries = [one for one in family(process.pid) if "hil.campaign.nursery" in " ".join(one.cmdline())]
        worker = next(one for one in nurseries if one.parent() is not None).parent()
        assert worker is not None
        worker.kill()
        told = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, told
    assert identities(Results(out)) == identities(unbroken)


def test_on_dask_in_this_process_nothing_warns_and_nothing_is_left(
    plan: Path, tmp_path: Path, unbroken: Results
) -> None:
    before = set(psutil.Process().children(recursive=True))
    results = run_plan(load_plan(str(plan)), Options(tmp_path / "out", injections=8, workers=1), Quiet())
    assert identities(results) == identities(unbroken)[:16]
    keepers = ("resource_tracker", "forkserver")  # Python's own, one for this process's life
    left = [one for one in psutil.Process().children(recursive=True) if one not in before]
    left = [one for one in left if not any(keeper in " ".join(one.cmdline()) for keeper in keepers)]
    wait_for(lambda: all(ended(one.pid) for one in left), "the end of what it started", 30)


def test_a_row_is_replayed_and_told(unbroken: Results) -> None:
    done = subprocess.run(command("replay", unbroken.folder, 7), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines().count("  identical") == 2
    missing = subprocess.run(command("replay", unbroken.folder, 7000), capture_output=True, text=True, check=False)
    assert (missing.returncode, "no row 7000" in missing.stderr) == (1, True)


def test_a_campaign_stops_when_its_interval_is_narrow_enough(plan: Path, tmp_path: Path) -> None:
    options = Options(tmp_path / "out", halfwidth=0.4, workers=0)
    results = run_plan(load_plan(str(plan)), options, Quiet())
    assert 2 <= len(results.rows()) / 2 < 20


def test_a_dry_run_tells_time_disk_and_interval_and_runs_nothing(plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "never"
    done = subprocess.run(
        command("run", plan, "--dry-run", "--injections", 30000, "--out", out),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("Time:", "Disk:", "0.013 %", "Leveugle"))
    assert not out.exists()


def test_a_report_and_a_comparison_are_made_of_rows(unbroken: Results) -> None:
    for words in (("report", unbroken.folder), ("compare", unbroken.folder, unbroken.folder)):
        done = subprocess.run(command(*words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "silent" in done.stdout
    values = json.loads((unbroken.folder / "summary.json").read_text())
    assert values["arms"]["protected"]["outcomes"]["silent"]["hits"] == 0
    assert values["arms"]["bare"]["outcomes"]["silent"]["hits"] > 0


def test_lanes_are_lanes() -> None:
    """The protocol of the seam is what the fast lane has."""
    from hil.campaign.fast import FastLane

    assert {name for name in dir(Lane) if not name.startswith("_")} <= set(dir(FastLane)) | {"name"}
