"""The full-flight lane: each arm is one real `orbitlm flight run`, commanded over spacelink frames like in orbit.

Crash, hang, link, clock and storage; and rows of the fast lane done again, as a cross-check of both.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from random import Random
from types import TracebackType
from typing import Self

from hil.campaign.cold_drill import ColdDrill
from hil.campaign.companion import Companion, companions
from hil.campaign.flight_arm import FlightArm
from hil.campaign.flight_options import parse_options
from hil.campaign.inquiry import Inquiry, Query
from hil.campaign.lane import Arm, Setup, Trial
from hil.campaign.live_drill import LiveDrill
from hil.campaign.outcome import Evidence
from hil.campaign.question import Golden, Question
from hil.campaign.snapshot import ENDS, Snapshot
from hil.campaign.strike import Strike
from hil.errors import CampaignError


class FlightLane:
    """See `hil.campaign.lane.Lane`."""

    name = "flight"

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._options = parse_options(setup.options)
        self._arms: dict[str, FlightArm] = {}
        self._companions: dict[str, Companion] = {}
        self._snapshots: dict[str, dict[str, Snapshot]] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._arms.clear()

    def golden(self, question: Question) -> Golden:
        """See `Lane.golden`: twice in every arm."""
        made = [self._answer(self._arm(arm), question) for arm in self._setup.arms for _ in range(2)]
        for other in made[1:]:
            if other != made[0]:
                raise CampaignError(
                    f"Flight answers {question.id} in two ways, {made[0].text[:60]!r} and {other.text[:60]!r}: "
                    "no campaign can run here."
                )
        return made[0]

    def run(self, trial: Trial, arm: Arm) -> Evidence:
        """See `Lane.run`."""
        flight = self._arm(arm)
        if trial.fault is not None and trial.fault.target == "storage" and not Strike(flight, trial.fault).lasts:
            return ColdDrill(flight, trial, self._kept(flight)).run()
        flight.ready()
        evidence = LiveDrill(flight, trial, self._drawn(flight, trial)).run()
        if evidence.dead or evidence.lost or evidence.answer is None:
            flight.close()  # its query may still be on board, its engine about to end: that is not the next trial's
        return evidence

    # ---- inside ----------------------------------------------------------------------------

    def _arm(self, arm: Arm) -> FlightArm:
        if arm.name not in self._arms:
            self._arms[arm.name] = FlightArm(arm, self._setup, self._options)
            self._stack.callback(self._arms[arm.name].close)
        return self._arms[arm.name]

    def _kept(self, flight: FlightArm) -> dict[str, Snapshot]:
        """What an arm's flight leaves on flash when it ends, taken at the first need."""
        found = self._snapshots.get(flight.arm.name)
        if found is None:
            first, second, third = (self._companion(flight, question) for question in companions()[:3])
            found = {end: Snapshot.take(flight, end, (first, second, third)) for end in ENDS}
            self._snapshots[flight.arm.name] = found
        return found

    def _companion(self, flight: FlightArm, question: Question) -> Companion:
        if question.id not in self._companions:
            self._companions[question.id] = Companion(question, self._answer(flight, question))
        return self._companions[question.id]

    def _drawn(self, flight: FlightArm, trial: Trial) -> tuple[Companion, ...]:
        """The companions of a trial, by its seed."""
        chosen = Random(trial.seed).choices(companions(), k=self._options.queries - 1)
        return tuple(self._companion(flight, question) for question in chosen)

    def _answer(self, flight: FlightArm, question: Question) -> Golden:
        """The answer of an undisturbed flight."""
        craft = flight.ready()
        craft.link.forget()
        inquiry = Inquiry(craft.link)
        query = flight.ask(inquiry, question)
        if not inquiry.follow(lambda: inquiry.ended, time.monotonic() + self._setup.deadline_s):
            raise CampaignError(f"Flight gives no answer to {question.id} within {self._setup.deadline_s:g} s.")
        golden = _golden(question, query)
        flight.release(inquiry)
        return golden


def _golden(question: Question, query: Query) -> Golden:
    receipt, text = query.receipt, query.text
    if receipt is None or text is None or receipt["outcome"] != "done":
        found = query.refused or (receipt or {}).get("reason", "nothing")
        raise CampaignError(f"Flight gives no answer to {question.id} even undisturbed: {found}.")
    return Golden(
        question=question.id,
        tokens=(0,) * int(receipt["tokens"]),  # what they are is not told; an instant is drawn from how many
        prompt_tokens=int(receipt["prompt_tokens"]),
        text=text,
        answer_sha256=hashlib.sha256(text.encode()).hexdigest(),
        prompt_sha256=bytes(receipt["prompt_sha256"]).hex(),
        stop=str(receipt["stop"]),
        right=question.right(text),
    )
