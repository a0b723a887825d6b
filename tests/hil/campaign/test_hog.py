"""Busy neighbours are there while they are wanted, and gone afterwards, whoever started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from hil.campaign.hog import hogs


def test_they_run_and_are_gone_at_the_end() -> None:
    with hogs(2) as pids:
        assert len(set(pids)) == 2
        assert all(psutil.pid_exists(pid) for pid in pids)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_they_end_with_the_process_that_started_them() -> None:
    code = "import time\nfrom hil.campaign.hog import hogs\nwith hogs(1) as pids:\n    print(*pids, flush=True)\n"
    code += "    time.sleep(600)"
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root) as starter:
        assert starter.stdout is not None
        (hog,) = (psutil.Process(int(pid)) for pid in starter.stdout.readline().split())
        os.kill(starter.pid, signal.SIGKILL)
    assert hog.wait(timeout=60) is None
