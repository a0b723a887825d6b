"""The story of a flipped bit: the same question and the same flip twice, with protection and without.

Both times flight is started anew for it, with `--allow-faults` and at a slower pace, so that the flip falls into the
answer; the second time its protections are switched off by their parameters. Link and ground stay as they are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ground.client import GroundClient
from hil.demo.result import Result
from hil.demo.search import Choice, choose
from hil.errors import HilError
from hil.faults import Injection, Subject, Victim, inject
from hil.scenario import Scenario, StoryModel
from hil.stack import Settings, Stack, merged

log = logging.getLogger(__name__)

PROTECTED: Final = "protected"
BARE: Final = "bare"
OFF: Final[Settings] = {"integrity": {"pages": False, "repair": False, "replay": False, "code_check": False}}
"""Protections off, by their parameters."""
ALLOWED: Final[Settings] = {"faults": {"allowed": True}, "core": {"progress_s": 0.05}}
TOLD: Final = (
    "integrity.damage_found",
    "integrity.damage_unrepaired",
    "inference.gate_disagreed",
    "inference.text_differs",
    "inference.released_unverified",
)
"""Events that tell of the damage, or of what it did."""
TICK_S: Final = 0.03
"""Real seconds between two looks at the answer: short, so that the flip falls where it should."""
PATIENCE_S: Final = 60.0
"""Longest real time for one act."""
VERIFIED: Final = "VERIFIED"


@dataclass
class Act:
    """One of the two times. `injection` is the flip as it was done; `after_tokens`: tokens reported just before it."""

    name: str
    settings: Settings
    result: Result
    injection: Injection | None = None
    after_tokens: int = 0
    known: int = 0
    """The newest event on ground just before it."""
    injected_s: float = 0.0
    """Mission seconds after the scenario's epoch at which the bit was flipped."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """What flight told about it after the flip, oldest first."""

    @property
    def protected(self) -> bool:
        """Whether the protections were on."""
        return self.name == PROTECTED

    @property
    def right(self) -> bool:
        """Whether the answer came back whole and says the facts."""
        return self.result.whole and not self.result.question.wrong(self.result.answer)

    def as_json(self, budget_s: float) -> dict[str, Any]:
        """The act in the demo's JSON contract."""
        return {
            "name": self.name,
            "settings": self.settings,
            "flipped": [str(change) for change in self.injection.changed] if self.injection else [],
            "after_tokens": self.after_tokens,
            "injected_s": round(self.injected_s, 3),
            "right": self.right,
            "events": self.events,
            "query": self.result.as_json(budget_s),
        }


@dataclass
class Story:
    """The flip that was chosen and what came of it."""

    choice: Choice
    acts: list[Act] = field(default_factory=list)
    pace: float = 0.0
    """Tokens per real second that decoding is slowed to."""

    @property
    def ok(self) -> bool:
        """Whether the protected answer is right, verified, and the flip was found while it was made."""
        protected = next((act for act in self.acts if act.protected), None)
        if protected is None or protected.injection is None or not protected.events:
            return False
        return protected.right and protected.result.query.get("verdict") == VERIFIED

    def as_json(self, budget_s: float) -> dict[str, Any]:
        """The story in the demo's JSON contract."""
        choice = self.choice
        return {
            "ok": self.ok,
            "fault": choice.fault.to_dict(),
            "chosen": {"seed": choice.fault.seed, "tried": choice.tried, "harmless": choice.harmless},
            "undamaged": choice.golden,
            "acts": [act.as_json(budget_s) for act in self.acts],
        }


class Teller:
    """Plays a scenario's story on a running stack. `observe` is called while it goes on."""

    def __init__(
        self, stack: Stack, client: GroundClient, story: StoryModel, observe: Callable[[Story], None] = lambda _: None
    ) -> None:
        self._stack = stack
        self._client = client
        self._story = story
        self._observe = observe

    def tell(self) -> Story:
        """Choose a flip and play both acts; afterwards flight flies as before. Raises `HilError`."""
        choice = choose(self._stack.scenario, self._story, self._model())
        if choice is None:
            raise HilError(f"no flip of {self._story.where} makes the answer to '{self._story.ask}' wrong")
        told = Story(choice, pace=self._story.pace_tokens_per_s)
        log.info("story: %s, seed %d, %d tried", choice.fault, choice.fault.seed, choice.tried)
        for name, settings in ((PROTECTED, {}), (BARE, OFF)):
            self._play(told, name, settings)
        self._stack.refly()
        return told

    def _play(self, told: Story, name: str, settings: Settings) -> None:
        pace: Settings = {"engine": {"pace_tokens_per_s": self._story.pace_tokens_per_s}}
        self._stack.refly(merged(merged(ALLOWED, pace), settings))
        query = self._client.ask(self._story.ask, scene=self._story.scene).data
        act = Act(name, settings, Result(self._story, True, query))
        told.acts.append(act)
        end = time.monotonic() + PATIENCE_S
        while not act.result.ended and time.monotonic() < end:
            self._stack.check()
            act.result.query = self._client.query(act.result.id).data
            if act.injection is None and self._tokens(act) >= self._story.flip_after_tokens:
                self._flip(told.choice, act)
            self._observe(told)
            time.sleep(TICK_S)
        act.events = self._events(act)
        log.info("story: %s: %s, %s", name, act.result.query.get("verdict"), act.result.answer)

    def _flip(self, choice: Choice, act: Act) -> None:
        ready = self._stack.flight_ready() or {}
        victim = Victim(Subject(self._model()), image=Path(str(ready["image"])))
        act.after_tokens = self._tokens(act)
        act.injected_s = self._stack.now()
        act.known = max((int(event["id"]) for event in self._client.events(limit=1)), default=0)
        act.injection = inject(choice.fault, victim)
        log.info("story: %s", act.injection)

    def _events(self, act: Act) -> list[dict[str, Any]]:
        """What flight told about damage since the flip, oldest first."""
        return [
            {"time": event["time"], "name": event["name"], "text": event["text"]}
            for event in reversed(self._client.events(limit=50, since=act.known))
            if event["name"] in TOLD
        ]

    def _model(self) -> Path:
        from models import cadet_path

        return self._stack.model or cadet_path()

    @staticmethod
    def _tokens(act: Act) -> int:
        return int(act.result.query.get("tokens") or 0) if act.result.leg == "DECODE" else 0


def tellable(scenario: Scenario, model: Path | None, asked: Sequence[str]) -> StoryModel | None:
    """The story to tell: only with the embedded model (its answer is known), and without questions of one's own."""
    return scenario.story if model is None and not asked else None
