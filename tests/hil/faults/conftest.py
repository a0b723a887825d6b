"""A model in shared memory, a live engine over it with its fault port open, and a process to torture."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flight.inference.protocol import Done, Failed, Go, Held, Indication, Refused, Struck, Text
from flight.inference.settings import EngineSettings
from hil.faults import Fault, Injection, Subject, Victim, inject
from hil.faults.compute import arms
from models import cadet_path
from tests.flight.inference.conftest import EnginePeer, query

QUESTION = "Which vessels are dark in the strait?"


@pytest.fixture(scope="session")
def bare_subject() -> Subject:
    """Cadet, with no answer known."""
    return Subject(cadet_path())


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A copy of cadet to damage."""
    return Path(shutil.copy(cadet_path(), tmp_path / "image.gguf"))


@dataclass
class Told:
    """What an engine said during one answer."""

    last: Indication | None = None
    text: bytes = b""
    held: list[int] = field(default_factory=list)
    struck: list[Struck] = field(default_factory=list)
    injection: Injection | None = None


class LiveEngine:
    """A real engine with its fault port open, asked one question again and again."""

    def __init__(self, image: Path) -> None:
        self.image = image
        sha256 = hashlib.sha256(image.read_bytes()).hexdigest()
        self._settings = EngineSettings(
            image=image, image_sha256=sha256, name="cadet", n_ctx=256, threads=1, n_batch=64, n_ubatch=64, faults=True
        )
        self.peer = EnginePeer(self._settings)
        self.peer.ready()
        self.golden = self.run().text
        self.subject = Subject(cadet_path(), prompt=(1,) * 15, tokens=(1,) * 15, text=self.golden.decode())
        self.victim = Victim(self.subject, image=image, pids={"engine": self.peer.process.pid})

    def run(self, fault: Fault | None = None, **changes: Any) -> Told:
        """Answer the question; at each hold the fault is done, if one is given."""
        told = Told()
        held = fault.at.engine_hold if fault is not None else None
        plain: dict[str, Any] = {"hold_at": [] if held is None else [held]}
        if fault is not None:
            plain["arm"] = [one.model_dump() for one in arms(fault)]
        self.peer.send(query(QUESTION, **{**plain, **changes}))
        while not isinstance(told.last, Done | Refused | Failed):
            message = self.peer.next()
            if isinstance(message, Held):
                told.held.append(message.at)
                if fault is not None:
                    self.victim.memories["engine"] = message.memory
                    told.injection = inject(fault, self.victim)
                self.peer.send(Go(id=message.id))
            elif isinstance(message, Struck):
                told.struck.append(message)
            elif isinstance(message, Text):
                told.text += message.answer
            told.last = message
        return told


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveEngine]:
    """One engine for a module; a test leaves it as it was."""
    image = Path(shutil.copy(cadet_path(), tmp_path_factory.mktemp("image") / "image.gguf"))
    live = LiveEngine(image)
    yield live
    live.peer.close()


@pytest.fixture
def child() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts Python processes with some code, waits until each has said a line, and ends them after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def run(code: str, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
