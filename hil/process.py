"""One process of the bench: started in a group of its own, its output in a log, ended with everything it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from flight.integrity.mappings import start_time
from hil.errors import StackError

TAIL_LINES = 30
KILLED_S = 5.0
"""Longest wait for a family that was killed, s: only a stuck device delays SIGKILL."""


def orbitlm(*arguments: str) -> list[str]:
    """The command line of `orbitlm …` with this very Python, in a process that ends with this one."""
    return [sys.executable, "-m", "hil.tether", str(os.getpid()), *arguments]


class ManagedProcess:
    """A child process with a name and a log; SIGTERM first, then SIGKILL for it and whatever is left of its family."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                env=env,
            )
        self.pid = self.popen.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.popen.poll() is None

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of its log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def check(self) -> None:
        """Raise StackError, with the end of the log, if it has ended."""
        if not self.alive:
            said = self.tail(1)
            if not said.startswith("orbitlm "):  # its own sentence says it all
                said = f"its log ends:\n{self.tail()}"
            raise StackError(f"{self.name} ended with exit code {self.popen.returncode}; {said}")

    def family(self) -> list[psutil.Process]:
        """It and all its descendants that run now."""
        with contextlib.suppress(psutil.Error):
            this = psutil.Process(self.pid)
            return [this, *this.children(recursive=True)]
        return []

    def terminate(self) -> None:
        """Ask it to end."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self.popen.terminate()

    def stop(self, grace_s: float = 10.0) -> None:
        """End it: SIGTERM, up to `grace_s` of waiting, then SIGKILL for it and whatever is left of its family."""
        family = self.family()
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(grace_s)
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()
        # Orphans are reaped by process 1, which in a container may take seconds to it, or never come to it.
        with contextlib.suppress(StackError):
            wait_for(lambda: all(ended(process.pid) for process in family), "its end", KILLED_S, pause_s=0.005)


def birth(pid: int) -> int:
    """When a process that runs began (`start_time`): ids are given anew. 0: none runs."""
    try:
        return 0 if ended(pid) else start_time(pid)
    except OSError:
        return 0


def ended(pid: int) -> bool:
    """Whether no process of that id runs; one that nobody has reaped has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(
    condition: Callable[[], bool],
    what: str,
    deadline_s: float,
    processes: Sequence[ManagedProcess] = (),
    pause_s: float = 0.05,
) -> None:
    """Wait until `condition` holds; StackError when a process ends meanwhile or the deadline passes."""
    end = time.monotonic() + deadline_s
    while not condition():
        for process in processes:
            process.check()
        if time.monotonic() > end:
            logs = "".join(f"\n--- {process.name} ---\n{process.tail()}" for process in processes)
            raise StackError(f"waited {deadline_s:g} s for {what}, in vain{logs}")
        time.sleep(pause_s)
