"""The flight process alone, commanded over its own link: real telecommands in CLTUs, real telemetry frames, no ground.

    with Spacecraft(Path("out/craft"), model, scenes={"bay": "VESSELS\\n…"}) as craft:
        receipt = craft.answer("Which vessels are dark?", scene="bay")

It stands for the launcher, too: with `watchdog_s` it restarts what ends or starves, as systemd would (`hil.systemd`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil

from hil.errors import BenchError
from hil.files import free_memory, read_json, toml_text, write_whole
from hil.process import ManagedProcess, ended, orbitlm, wait_for
from hil.stack import Settings, merged
from hil.systemd import NotifySocket
from hil.telecommander import Telecommander

START_S: Final = 120.0
"""Longest time for flight to be ready (loading a large model from a cold disk), s."""
ANSWER_S: Final = 60.0
"""Longest time for an answer unless said otherwise, s."""
REPEAT_S: Final = 2.0
"""Pause before a question that nobody has accepted is asked again, s."""
SUPERVISOR: Final = "supervisor"


class Spacecraft:
    """`orbitlm flight run` with one model and some scenes. Use it as a context manager.

    `settings` overlay those written here (sections as in flight's file); `options` go on its command line.
    """

    def __init__(
        self,
        folder: Path,
        model: Path,
        *,
        scenes: Mapping[str, str],
        settings: Settings | None = None,
        options: tuple[str, ...] = (),
        watchdog_s: float | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.link = Telecommander()
        self.restarts = 0
        """How often the launcher has started it again."""
        self._options = options
        self._asked = 0
        self._notify = NotifySocket(watchdog_s) if watchdog_s is not None else None
        self._process: ManagedProcess | None = None
        for name, text in scenes.items():
            write_whole(self.data / "scenes" / f"{name}.txt", text.strip("\n") + "\n")
        own: Settings = {
            "data": str(self.data),
            "link": {"bind": "127.0.0.1:0", "peer": self.link.peer},
            "model": {"path": str(model.absolute())},
        }
        write_whole(self.folder / "flight.toml", toml_text(merged(own, settings or {})))

    # ---- life ------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self.launch()
            self.await_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def launch(self) -> None:
        """Start the process without waiting for it."""
        with contextlib.suppress(FileNotFoundError):
            (self.data / "ready.json").unlink()
        if self._notify is not None:
            self._notify.begin()
        bare = {key: value for key, value in os.environ.items() if not key.startswith("ORBITLM_")}
        bare |= self._notify.environment if self._notify is not None else {}
        command = orbitlm("flight", "run", "--config", str(self.folder / "flight.toml"), *self._options)
        self._process = ManagedProcess("flight", command, self.folder / "flight.log", bare)

    def await_ready(self, deadline_s: float = START_S) -> None:
        """Wait until it is up: the engine idle, or safe mode. Raises StackError when it ends instead."""
        assert self._process is not None
        wait_for(lambda: self.ready() is not None, "flight to be ready", deadline_s, [self._process], pause_s=0.01)
        self._find_link()

    def stop(self) -> int:
        """End it in order; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.popen.wait(START_S)
        self._process.stop()
        return code

    def close(self, *, at_once: bool = False) -> None:
        """Leave nothing behind: neither processes (`at_once`: by SIGKILL), nor sockets, nor shared memory."""
        pids = list(self.pids().values())
        if self._process is not None:
            if at_once:
                self.kill(SUPERVISOR)
            self._process.stop()
            wait_for(lambda: all(ended(pid) for pid in pids), "the end of flight's processes", START_S, pause_s=0.005)
            free_memory(self.data)
        if self._notify is not None:
            self._notify.close()
        self.link.close()

    # ---- the launcher ----------------------------------------------------------------------

    def tend(self) -> bool:
        """Do what systemd would do now: end a supervisor that starves its watchdog, start one that has ended.

        Returns whether it was started again; its telemetry is then awaited as after any start.
        """
        process, notify = self._process, self._notify
        if process is None or notify is None:
            return False
        if process.alive and notify.starving():
            self.kill(SUPERVISOR)
            process.popen.wait()
        if process.alive:
            if self.link.flight is None:
                self._find_link()
            return False
        # `Restart=always` waits for the whole control group; children end with their parent (PR_SET_PDEATHSIG).
        process.stop(grace_s=0.0)
        self.restarts += 1
        self.link.flight = None
        self.launch()
        return True

    # ---- what is known ---------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether the supervisor runs (or is stopped)."""
        return self._process is not None and self._process.alive

    @property
    def said(self) -> str:
        """The last line that it printed: the sentence of a refusal."""
        return self._process.tail(1) if self._process is not None else ""

    def ready(self) -> dict[str, Any] | None:
        """Its ready.json, None before it is written by this very process."""
        found = read_json(self.data / "ready.json")
        process = self._process
        return found if isinstance(found, dict) and process is not None and found.get("pid") == process.pid else None

    def pids(self) -> dict[str, int]:
        """Process ids by name, those that run now."""
        ready = self.ready() or {}
        found = {name.removesuffix("_pid"): pid for name, pid in ready.items() if name.endswith("_pid")}
        own = {SUPERVISOR: self._process.pid} if self._process is not None and self._process.alive else {}
        return own | {name: pid for name, pid in found.items() if isinstance(pid, int)}

    def working(self) -> frozenset[str]:
        """The processes that run and have got as far as their work since they were started."""
        ready = self.ready()
        return frozenset() if ready is None else frozenset({SUPERVISOR, *ready["working"]})

    @property
    def image(self) -> Path:
        """The RAM image of the model."""
        return Path(str((self.ready() or {})["image"]))

    @property
    def mode(self) -> str:
        """normal, safe, or empty while it is not up."""
        return str((self.ready() or {}).get("mode", ""))

    # ---- what can be done ------------------------------------------------------------------

    def kill(self, name: str, number: int = signal.SIGKILL) -> int | None:
        """Send a signal to one of its processes; returns its pid, None when there is none just now."""
        pid = self.pids().get(name)
        if pid is None:
            return None
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            os.kill(pid, number)
        return pid

    def answer(self, question: str, *, deadline_s: float = ANSWER_S, **args: Any) -> Mapping[str, Any]:
        """Ask, again while nobody accepts it, and wait for the receipt.

        Raises BenchError when the question is refused, or at the deadline.
        """
        self._asked += 1
        query_id = self._asked
        requests: list[bytes] = []
        end = time.monotonic() + deadline_s
        due = 0.0
        while (found := self.link.receipt(query_id)) is None:
            if time.monotonic() > end:
                raise BenchError(f"flight gave no answer to {question!r} within {deadline_s:.0f} s.")
            for request in requests:
                refused = self.link.named("verification.rejected", request_id=request)
                if refused:
                    raise BenchError(f"flight refuses the question {question!r}: {refused[0].args['reason']}.")
            accepted = any(self.link.named("verification.accepted", request_id=request) for request in requests)
            if not accepted and time.monotonic() >= due:
                requests.append(self.link.ask(query_id, question, **args))
                due = time.monotonic() + REPEAT_S
            self.link.listen(0.1)
        return found

    def release(self, receipt: Mapping[str, Any]) -> None:
        """Let flight forget the answer, so that nothing of it is sent again."""
        self.link.command("inference.release", {"query_id": receipt["query_id"], "sha256": receipt["answer_sha256"]})

    def _find_link(self) -> None:
        ready = self.ready()
        if ready is not None:
            self.link.flight = (str(ready["link"]["host"]), int(ready["link"]["port"]))
