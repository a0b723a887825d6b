"""The processes of the fast lane: engine and verifier of one arm, renewed when a trial asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flight.inference.settings import EngineSettings
from flight.integrity.guard import Guard
from flight.settings import FlightSettings
from flight.verifier.settings import VerifierSettings
from hil.campaign.child import Child, Nursery
from hil.campaign.image import BenchImage
from hil.campaign.lane import Arm
from hil.errors import CampaignError
from hil.faults import protection_of

_LOAD_S: Final = 60.0
ENGINE: Final = "engine"
VERIFIER: Final = "verifier"


class UnreadyError(CampaignError):
    """A child was started and did not get ready: over a damaged image that is what a fault can do."""


class Crew:
    """Engine and verifier of one arm over the worker's image. They are started when they are first asked for."""

    def __init__(self, arm: Arm, nursery: Nursery, image: BenchImage, name: str, threads: int) -> None:
        settings = FlightSettings.model_validate(arm.settings)
        model, integrity = settings.model, settings.integrity
        self._nursery = nursery
        self._children: dict[str, Child] = {}
        self.starts = 0
        """Processes started so far."""
        engine = EngineSettings(
            image=image.path,
            image_sha256=image.sha256,
            name=name,
            n_ctx=model.n_ctx,
            threads=model.threads or threads,
            n_batch=model.n_batch,
            n_ubatch=model.n_ubatch,
            faults=True,
        )
        verifier = VerifierSettings(
            engine=engine,
            guard=image.guard,
            pages=integrity.pages,
            repair=integrity.repair,
            replay=integrity.replay,
            margin=integrity.margin,
            uncalibrated=integrity.uncalibrated_margin,
            self_test_s=integrity.self_test_s,
        )
        self._guarded = image.guard if integrity.pages and integrity.scrub_bytes_per_s else None
        self._guard: Guard | None = None
        self._own = protection_of(arm.protection)(image.guard) if arm.protection else None
        self._settings = {ENGINE: engine.model_dump_json(), VERIFIER: verifier.model_dump_json()}
        self.settings = settings
        self.engine_settings = self._settings[ENGINE]
        """Of the engine, as JSON."""

    def child(self, process: str) -> Child:
        """The engine or the verifier, started if it does not run. Raises `UnreadyError`."""
        found = self._children.get(process)
        if found is None or found.gone:
            found = self._children[process] = self._start(process)
        return found

    def pids(self) -> dict[str, int]:
        """Process ids of those that run."""
        return {process: child.pid for process, child in self._children.items() if not child.gone}

    def end(self, process: str) -> None:
        """Kill a process if it runs; the next `child` starts a fresh one."""
        found = self._children.pop(process, None)
        if found is not None:
            found.kill()

    def guard(self) -> Guard | None:
        """What the scrubber holds, where the arm has one."""
        if self._guard is None and self._guarded is not None:
            self._guard = Guard.open(self._guarded)
        return self._guard

    def own_findings(self) -> list[str]:
        """What the protection that the arm brings finds now, and mends; a sentence each."""
        return [] if self._own is None else self._own.check()

    def close(self) -> None:
        """End all."""
        if self._own is not None:
            self._own.close()
            self._own = None
        if self._guard is not None:
            self._guard.close()
            self._guard = None
        for process in list(self._children):
            self.end(process)

    def _start(self, process: str) -> Child:
        module = f"flight.{'inference' if process == ENGINE else 'verifier'}"
        words = ["--control-fd", "{fd0}", "--parent", "{parent}", "--core-fd", "{fd1}", "--log-level", "ERROR"]
        child = self._nursery.start(module, [*words, "--settings", self._settings[process]])
        self.starts += 1
        while (message := child.receive(_LOAD_S)) is not None:
            if message.get("is") == "ready":
                return child
        child.kill()
        raise UnreadyError(f"The {process} did not get ready: {self._nursery.last_words()}")


def label(model: Path) -> str:
    """The name that children give the model."""
    return model.stem
