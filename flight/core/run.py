"""One query at the engine: its drafts, what the engine has told of it, and what it asks the engine."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from flight.core.conversation import thaw
from flight.core.custody import Mark
from flight.core.draft import Draft
from flight.core.receipt import Figures
from flight.core.release import UNCHECKED, Release, Released
from flight.inference.protocol import ChatMessage, Done, ModelFacts, Run, Started
from flight.settings import EngineSettings
from flight.store.query import Query
from spacelink import Segment

KINDS = ("answer", "thinking")
UNCHECKED_YET = Released(UNCHECKED)


def request_for(query: Query, defaults: EngineSettings) -> Run:
    """What engine and verifier are asked: read from the journal's frozen bytes, the same for every run."""
    args = query.args
    assert query.messages is not None
    return Run(
        id=f"{query.id:016x}",
        attempt=query.attempt,
        messages=tuple(ChatMessage.model_validate(message) for message in thaw(query.messages)),
        thinking=args["thinking"],
        max_tokens=args["max_tokens"] or defaults.max_tokens,
        time_budget_s=args["time_budget_s"] or defaults.time_budget_s,
        temperature=args["temperature"],
        top_p=args["top_p"] or 1.0,
        top_k=args["top_k"],
        seed=args["seed"],
        pace=defaults.pace_tokens_per_s,
    )


@dataclass
class ActiveRun:
    """The query that runs, over as many engines as it takes."""

    query: Query
    drafts: dict[str, Draft] = field(default_factory=lambda: {kind: Draft() for kind in KINDS})
    at_engine: bool = False
    ending: str = ""
    """The state that it shall end in although the engine still works on it: cancelled or expired."""
    after_fault: bool = False
    """It was handed over again right after a fault: the engine may be leaving for it, which is no second fault."""
    figures: Figures = field(default_factory=Figures)
    step: str = "prefill"
    tokens: int = 0
    decoding_since: float | None = None
    next_progress: float = 0.0
    release: Release | None = None
    """Where its answer stands at the release gate; from its first start on."""
    released: Released = UNCHECKED_YET
    mark: Mark = field(default_factory=Mark)
    """What was known of the image when it began; nothing, where that was before this core did."""
    facts: ModelFacts | None = None
    """The model that the engine had loaded when it began."""
    suspect: bool = False
    """Damage was found since it began, or a core that died may have known of some: the exact re-run decides."""
    resume: bool = True
    """Its checkpoint may be gone on from: this core knows of no damage, and the gate has not said no."""
    checked_over: str = ""
    """SHA-256 of the model of the verifier that was asked last."""
    engine_restarts: int = 0
    verifier_restarts: int = 0
    waiting_since: float | None = None
    """Since when its answer waits for a verifier to be there, monotonic."""

    @classmethod
    def taken_up(cls, query: Query, drafts: dict[str, Draft]) -> Self:
        """One that ran when core died; `query` counts that already. What was found until then, nobody knows any more.

        Each time that it was begun anew, an engine had ended; of its verifiers the last is known to have ended.
        """
        return cls(query, drafts, suspect=True, engine_restarts=query.restarts, verifier_restarts=1)

    @property
    def hex_id(self) -> str:
        """The id as the engine knows it."""
        return f"{self.query.id:016x}"

    def begin(self) -> None:
        """The engine gets it, for the first time or again."""
        self.at_engine = True
        self.figures = Figures()
        self.step = "prefill"
        self.tokens = 0
        self.decoding_since = None
        self.next_progress = 0.0
        for draft in self.drafts.values():
            draft.again()

    def damaged(self) -> None:
        """The answer or its checkpoint may have come of damage: it needs the exact re-run, and no checkpoint."""
        self.suspect = True
        self.resume = False

    def started(self, message: Started) -> None:
        """Prefill is complete."""
        self.figures = dataclasses.replace(
            self.figures,
            prompt_tokens=message.prompt_tokens,
            prompt_sha256=bytes.fromhex(message.prompt_sha256),
            prefill_ms=message.prefill_ms,
        )

    def done(self, message: Done) -> None:
        """The engine has told all."""
        self.figures = dataclasses.replace(
            self.figures,
            prompt_tokens=message.prompt_tokens,
            tokens=message.tokens,
            prefill_ms=message.prefill_ms,
            decode_ms=message.decode_ms,
            pace=message.pace,
            stop=message.stop,
        )

    def hashes_agree(self, message: Done) -> bool:
        """Whether core has received the very bytes that the engine made."""
        return (
            hashlib.sha256(self.drafts["answer"].text).hexdigest() == message.answer_sha256
            and hashlib.sha256(self.drafts["thinking"].text).hexdigest() == message.thinking_sha256
        )

    def void(self) -> Iterator[tuple[str, Segment]]:
        """The next attempt begins: segments of all texts so far, again from the start."""
        for kind, draft in self.drafts.items():
            for segment in draft.void():
                yield kind, segment

    def close(self) -> Iterator[tuple[str, Segment]]:
        """The last segments."""
        for kind, draft in self.drafts.items():
            for segment in draft.close():
                yield kind, segment
