"""The scrubber as a process: its first word, its commands, and how it ends."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flight.control import ControlChannel
from flight.inference.channel import FramedSocket
from flight.inference.errors import PeerClosed
from flight.inference.protocol import Message
from flight.integrity.codes import BLOCK
from flight.integrity.guard import prepare
from flight.integrity.protocol import Found, Guarded, Passed, Scrub, parse_indication
from flight.integrity.settings import GuardSettings, ScrubberSettings
from models.manifest import make, manifest_path, save
from tests.flight.integrity.protection import flip

pytestmark = pytest.mark.slow

DEADLINE_S = 60.0
PLAIN = "import sys; from flight.integrity.__main__ import main; sys.exit(main())"
BLIND = "import flight.integrity.ladder as one; one.Ladder._store = lambda *_: None; " + PLAIN
"""A scrubber whose repairs do not arrive: its self-test must notice."""


class Process:
    """A scrubber, both its sockets in our hands."""

    def __init__(self, settings: ScrubberSettings, code: str, log: Path) -> None:
        control, control_theirs = socket.socketpair()
        core, core_theirs = socket.socketpair()
        fds = (control_theirs.fileno(), core_theirs.fileno())
        words = ["--control-fd", str(fds[0]), "--core-fd", str(fds[1]), "--parent", str(os.getpid())]
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *words, "--settings", settings.model_dump_json()],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        control_theirs.close()
        core_theirs.close()
        self.control, self.core, self.log = ControlChannel(control), FramedSocket(core), log
        self.heard: list[Any] = []

    def wait(self, kind: type[Message], fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next message of a kind that fits."""
        until = time.monotonic() + DEADLINE_S
        while True:
            for message in self.heard:
                if isinstance(message, kind) and fits(message):
                    self.heard.remove(message)
                    return message
            assert time.monotonic() < until, f"no {kind.__name__}: {self.heard}; {self.log.read_text()[-2000:]}"
            if select.select([self.core], [], [], 0.1)[0]:
                self.heard += [parse_indication(message) for message in self.core.receive()]

    def ended(self) -> int:
        return self.process.wait(DEADLINE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.control.close()
        self.core.close()


@pytest.fixture
def scrubber(settings: GuardSettings, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start scrubbers over the image of `settings`; all end with the test."""
    started: list[Process] = []

    def start(code: str = PLAIN, **changes: object) -> Process:
        values: dict[str, object] = {
            "guard": settings,
            "repair": True,
            "bytes_per_s": 1e8,
            "period_s": 0.05,
            "deep_s": 1e9,
            "self_test_s": 60.0,
            "copy_to": None,
        }
        started.append(Process(ScrubberSettings.model_validate(values | changes), code, tmp_path / "log"))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_it_prepares_scrubs_repairs_and_ends_when_told(
    scrubber: Callable[..., Process], settings: GuardSettings, model: Path
) -> None:
    """From nothing but the model on flash: guard, passes, a repair, a pass by command, an orderly end."""
    process = scrubber()
    guarded = process.wait(Guarded)
    assert guarded.pages == make(model).pages.count
    process.wait(Passed)
    flip(settings.image, 77_777, 8)
    assert process.wait(Found).outcome == "bit"
    assert settings.image.read_bytes() == model.read_bytes()
    process.core.send(Scrub(n=5, deep=True))
    assert process.wait(Passed, lambda one: one.asked == 5).deep
    process.process.terminate()
    assert process.ended() == 0


def test_codes_that_were_damaged_on_flash_are_told_at_its_start(
    scrubber: Callable[..., Process], settings: GuardSettings
) -> None:
    """They came from their second copy, which was written back: no later pass would see it."""
    prepare(settings)
    flip(settings.codes, settings.codes.stat().st_size // 2 - BLOCK.itemsize)
    process = scrubber()
    told = process.wait(Found)
    assert (told.part, told.outcome) == ("codes", "copy")
    process.wait(Passed)
    assert not [one for one in process.heard if isinstance(one, Found)]


def test_its_beats_count_pages_in_the_phase_of_its_work(scrubber: Callable[..., Process]) -> None:
    """The supervisor sees progress while it scrubs, and none when there is none."""
    process = scrubber(bytes_per_s=1e6)
    beats: list[tuple[int, str]] = []
    until = time.monotonic() + DEADLINE_S
    while len({count for count, phase in beats if phase == "scrub"}) < 3 and time.monotonic() < until:
        beats += [(one["beat"], one["phase"]) for one in process.control.receive() if "beat" in one]
        time.sleep(0.02)
    counts = [count for count, phase in beats if phase == "scrub"]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_a_scrubber_that_cannot_repair_ends_with_a_status_of_its_own(scrubber: Callable[..., Process]) -> None:
    """The planted flip is not undone: status 5, before a word that the image is guarded."""
    process = scrubber(BLIND)
    assert process.ended() == 5
    with pytest.raises(PeerClosed):
        process.core.receive()
    assert "self-test" in process.log.read_text()


def test_flash_that_is_not_the_manifests_makes_it_unfit(
    scrubber: Callable[..., Process], settings: GuardSettings, tmp_path: Path
) -> None:
    """The sentence for the supervisor names the tensor; the status says that a restart would change nothing."""
    manifest = make(settings.model)
    save(manifest, manifest_path(settings.model))
    flip(settings.model, manifest.tensors[5].offset)
    process = scrubber(guard=GuardSettings.of(settings.model, settings.image, tmp_path / "data"))
    assert process.ended() == 3
    (unfit,) = [one["unfit"] for one in process.control.receive() if "unfit" in one]
    assert manifest.tensors[5].name in unfit


def test_it_leaves_when_core_is_gone(scrubber: Callable[..., Process]) -> None:
    """A new core finds a new scrubber."""
    process = scrubber()
    process.wait(Guarded)
    process.core.close()
    assert process.ended() == 0
