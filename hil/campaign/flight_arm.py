"""The flight process of one arm, alive from trial to trial, and the questions that it is asked."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from pathlib import Path
from typing import Any, Final

from hil.campaign.flight_link import FlightLink
from hil.campaign.flight_options import FlightOptions
from hil.campaign.inquiry import Inquiry, Query
from hil.campaign.lane import Arm, Setup
from hil.campaign.question import Golden, Question
from hil.errors import CampaignError, HilError
from hil.files import write_whole
from hil.spacecraft import Spacecraft
from hil.stack import merged
from models.manifest import manifest_path

HEALTHY_S: Final = 20.0
"""Longest time to come back by itself between two trials before everything is started anew, s."""
OWN_FLASH_BYTES: Final = 64 << 20
"""A model up to this size is copied, so that the copy on flash can be damaged, too."""
COUNTERS_S: Final = 5.0
"""Longest time to wait for housekeeping, s."""


class FlightArm:
    """One arm's `orbitlm flight run` with its own ports, data directory and flash."""

    def __init__(self, arm: Arm, setup: Setup, options: FlightOptions) -> None:
        self.arm = arm
        self.setup = setup
        self.options = options
        self.folder = setup.folder / arm.name
        self.model = setup.model
        if setup.model.stat().st_size <= OWN_FLASH_BYTES:
            self.model = self.folder / "flash" / setup.model.name
        self.link = FlightLink(setup.folder / f"{arm.name}-link", options.link.impairments)
        self._craft: Spacecraft | None = None
        self._next_id = 1
        self._processes: frozenset[str] = frozenset()

    # ---- life ------------------------------------------------------------------------------

    @property
    def craft(self) -> Spacecraft:
        """The flight process; `ready` has started it."""
        assert self._craft is not None
        return self._craft

    @property
    def is_open(self) -> bool:
        """Whether there is a flight process."""
        return self._craft is not None

    def make(self, *, paced: bool = True) -> Spacecraft:
        """A spacecraft with this arm's settings in this arm's folder, not yet started."""
        if self.model != self.setup.model:
            self.model.parent.mkdir(parents=True, exist_ok=True)
            for path in (self.setup.model, manifest_path(self.setup.model)):
                if path.exists():
                    shutil.copyfile(path, self.model.with_name(path.name))
        settings = merged(self.options.settings(), self.arm.settings)
        if not paced:
            settings = merged(settings, {"engine": {"pace_tokens_per_s": 0.0}})
        self._craft = Spacecraft(
            self.folder, self.model, scenes={}, settings=settings, watchdog_s=self.options.watchdog_s or None
        )
        self._craft.link.idle = self._tend
        self.link.attach(self._craft.link)
        return self._craft

    def ready(self) -> Spacecraft:
        """The spacecraft with every process at work; started anew, from nothing, when it does not come back by itself.

        Raises `CampaignError` when even that fails.
        """
        if self._craft is not None and self._comes_back():
            return self._craft
        for _ in range(2):
            self.close()
            try:
                craft = self.make()
                craft.launch()
                craft.await_ready()
            except HilError as error:
                trouble = str(error)
                continue
            self._processes = frozenset(craft.pids())
            if self._comes_back():
                return craft
            trouble = f"its processes are {', '.join(craft.pids())}, its mode is {craft.mode or 'unknown'}"
        raise CampaignError(f"Flight of arm {self.arm.name} does not start: {trouble}.")

    def close(self) -> None:
        """End it and forget everything that it kept."""
        if self._craft is not None:
            self._craft.close(at_once=True)
        self._craft = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tend(self) -> None:
        self.craft.tend()

    def _comes_back(self) -> bool:
        end = time.monotonic() + HEALTHY_S
        while not self.whole():
            if time.monotonic() > end:
                return False
            self.craft.link.listen(0.02)
        return True

    def whole(self) -> bool:
        """Whether every process that it began with works, and it is in normal mode."""
        ready = self.craft.ready()
        if ready is None or ready["mode"] != "normal":
            return False
        return self._processes <= self.craft.working() and self.craft.link.flight is not None

    def image(self) -> Path | None:
        """The RAM image, while there is one."""
        found = (self.craft.ready() or {}).get("image")
        return Path(found) if found else None

    def counters(self) -> tuple[int, int] | None:
        """(queries accepted, queries done) as flight counts them; None when it does not answer in time."""
        link = self.craft.link
        end = time.monotonic() + COUNTERS_S
        while time.monotonic() < end:
            asked = time.monotonic()
            link.command("health.request")
            while time.monotonic() < min(end, asked + 0.5):
                link.listen(0.01)
                if link.first(asked, lambda one: one.name == "health.housekeeping") is not None:
                    values = link.named("health.housekeeping")[-1].args
                    return int(values["Q_ACC"]), int(values["Q_DON"])
        return None

    # ---- questions -------------------------------------------------------------------------

    def ask(self, inquiry: Inquiry, question: Question, golden: Golden | None = None) -> Query:
        """Ask a campaign's question, with this arm's assurance; its scene is put on board first.

        A run that breaks is cut some tokens after the end of the golden answer.
        """
        args: dict[str, Any] = {"assurance": self.arm.assurance}
        if golden is not None:
            args["max_tokens"] = len(golden.tokens) + self.setup.margin
        if question.scene:
            args["scene"] = self._scene(question.scene)
        if question.system:
            args["system"] = question.system
        query_id, self._next_id = self._next_id, self._next_id + 1
        return inquiry.ask(query_id, question.question, **args)

    def release(self, inquiry: Inquiry) -> None:
        """Let flight forget the answers of a trial that is over."""
        for query in inquiry.queries:
            if query.receipt is not None and query.text is not None:
                self.craft.release(query.receipt)
        self.craft.link.listen(0.02)

    def _scene(self, text: str) -> str:
        """The name of a scene on board, by its content."""
        data = text.strip("\n") + "\n"
        name = hashlib.sha256(data.encode()).hexdigest()[:16]
        path: Path = self.craft.data / "scenes" / f"{name}.txt"
        with contextlib.suppress(OSError):
            if not path.exists():
                write_whole(path, data)
        return name
