"""What the end-to-end tests of the bench share."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hil.files import read_json
from hil.process import ManagedProcess, orbitlm, wait_for

SHARED = Path("/dev/shm")  # noqa: S108 - looked at only


class DemoProcess:
    """`orbitlm hil demo` as a person starts it."""

    def __init__(self, out: Path, *arguments: str) -> None:
        self.out = out
        self.json = out / "result.json"
        command = orbitlm("hil", "demo", "--out", str(out), "--json", str(self.json), *arguments)
        self.process = ManagedProcess("demo", command, out.with_suffix(".txt"))

    def finish(self, deadline_s: float = 120.0) -> dict[str, Any]:
        """Wait for its end, and return its JSON; fail with what it printed unless it ended with 0."""
        try:
            code = self.process.popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the demo did not end within {deadline_s:.0f} s:\n{self.process.tail(80)}")
        assert code == 0, f"exit code {code}:\n{self.process.tail(80)}"
        return self.document()

    def document(self) -> dict[str, Any]:
        """Its JSON as it is now; empty before it is written."""
        return read_json(self.json) or {}

    def wait(
        self, condition: Callable[[dict[str, Any]], object], what: str, deadline_s: float = 120.0
    ) -> dict[str, Any]:
        """Wait until its JSON is as it should be, and return it."""
        wait_for(lambda: bool(condition(self.document())), what, deadline_s, [self.process])
        return self.document()

    def printed(self) -> str:
        """All that it printed."""
        return self.process.log.read_text()


@pytest.fixture(name="demo")
def _demo(tmp_path: Path) -> Iterator[Callable[..., DemoProcess]]:
    """Start demos; whatever is left of them at the end is ended."""
    started: list[DemoProcess] = []

    def start(*arguments: str) -> DemoProcess:
        started.append(DemoProcess(tmp_path / f"demo{len(started)}", *arguments))
        return started[-1]

    yield start
    for each in started:
        each.process.stop()
        for pid in each.document().get("pids", {}).values():  # only a failed test leaves any
            with contextlib.suppress(psutil.NoSuchProcess):
                left = psutil.Process(pid)
                if str(each.out) in " ".join(left.cmdline()):  # ids are given anew
                    left.kill()


def _left(pids: dict[str, int]) -> list[str]:
    found = []
    for name, pid in pids.items():
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(f"{name} ({pid})")
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture(name="assert_all_gone")
def _assert_all_gone() -> Callable[..., None]:
    """Wait until none of these processes runs and the shared memory is as it was before; say what is left."""
    before = set(SHARED.glob("orbitlm-*"))

    def check(pids: dict[str, int], image: str) -> None:
        wait_for(lambda: not _left(pids), f"the end of {pids}", 30)
        assert not Path(image).exists()
        assert Path(image).parent not in set(SHARED.glob("orbitlm-*")) - before

    return check
