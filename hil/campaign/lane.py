"""The seam between a campaign and what it tortures: a lane runs one trial in one arm and says what it saw.

A lane lives in one worker process, runs one trial at a time, and may be closed and opened again. It never judges: it
fills in `Evidence`, and `make_row` judges by the rules of `outcome`. After `run` the lane must be as before: images
proven or restored, processes alive or started again. What it cannot bring back it reports as `Evidence(dead=True)`
and then starts everything anew by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self

from hil.campaign.outcome import Evidence
from hil.campaign.question import Golden, Question

if TYPE_CHECKING:
    from hil.faults import Fault, Subject


@dataclass(frozen=True)
class Arm:
    """A set of parameters of flight under test.

    `settings`: overlay of `FlightSettings`, as {"integrity": {"replay": False}}; `assurance`: what each query asks for;
    `protection`: the name of an entry point in `orbitlm.protections`, or empty.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    assurance: Literal["none", "pages", "full"] = "full"
    protection: str = ""

    @property
    def gated(self) -> bool:
        """Whether answers of this arm can be VERIFIED at all."""
        integrity = self.settings.get("integrity", {})
        return self.assurance != "none" and bool(integrity.get("replay", True))

    @property
    def guarded(self) -> bool:
        """Whether anything looks at the pages of the image in this arm."""
        return self.assurance != "none" and bool(self.settings.get("integrity", {}).get("pages", True))


@dataclass(frozen=True)
class Trial:
    """One fault on one question, for every arm alike. `fault` is None in clean strata, `fault_json` then empty."""

    index: int
    stratum: str
    fault: Fault | None
    fault_json: str
    question: Question
    golden: Golden
    seed: int = 0
    """For what a lane draws beside the fault (the instant of a kill …): a function of (campaign seed, index)."""
    subject: Subject | None = None
    """The model and the golden answer as the injector knows them."""


@dataclass(frozen=True)
class Setup:
    """What a lane is opened with. `folder` is the worker's own and empty; `margin` tokens end a broken run."""

    model: Path
    folder: Path
    arms: tuple[Arm, ...]
    margin: int
    deadline_s: float
    options: dict[str, Any] = field(default_factory=dict)


class Lane(Protocol):
    """A way to run trials. Used as a context manager by a worker that then runs thousands."""

    name: str

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def golden(self, question: Question) -> Golden:
        """Answer without any fault, and be sure of it: two runs bit-identical, in every way this lane answers.

        Raises `CampaignError` with the first difference: then no campaign can run here.
        """
        ...

    def run(self, trial: Trial, arm: Arm) -> Evidence:
        """Run one trial in one arm. Never raises for what the fault did; `CampaignError` when the bench fails."""
        ...


_LANES: Final = {
    "fast": ("hil.campaign.fast", "FastLane"),
    "flight": ("hil.campaign.flightlane", "FlightLane"),
    "guard": ("hil.campaign.guardlane", "GuardLane"),
}
"""Where each lane lives: a module and a class that is called with a `Setup`. Loaded by the worker that needs it."""


def open_lane(name: str, setup: Setup) -> Lane:
    """The lane called `name`. It is entered by the caller."""
    from hil.errors import CampaignError

    if name not in _LANES:
        raise CampaignError(f"There is no lane {name!r}; there are {', '.join(_LANES)}.")
    module, kind = _LANES[name]
    lane: Lane = getattr(import_module(module), kind)(setup)
    return lane
