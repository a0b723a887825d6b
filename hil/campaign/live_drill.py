"""A fault put into a flight process that is at work: at an instant that is known from the telemetry of a query.

Instants of a fault (`hil.faults.Instant`) as seen from outside, where nothing can be held: `now` and `start` before the
question is sent, `token` when so many tokens are reported, `done` and `check` when the check is reported to have begun,
`check-token` and `final` within a moment after that, `released` when the receipt is here and the answer still
comes down, `delay` so long after the question, whatever flight does then. All but the first two add a random part.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from random import Random
from typing import Final

from hil.campaign.companion import Companion
from hil.campaign.flight_arm import FlightArm
from hil.campaign.flight_evidence import Disturbance, Loss, evidence_of, findings
from hil.campaign.inquiry import Inquiry, Query
from hil.campaign.lane import Trial
from hil.campaign.outcome import Evidence
from hil.campaign.strike import Strike
from hil.faults import Instant

SPAN_S: Final = 0.03
"""The random part of an instant, s: about the length of a prefill or a check of the embedded model."""
REPAIR_S: Final = 3.0
"""Longest time after the answers for the scrubber to repair the image, s: it passes once a second."""
LASTS_S: Final = (0.2, 1.5)
"""How long a fault lasts during which flight cannot work (a full disk), s."""
BEFORE: Final = ("now", "start")
STEPS: Final = {"done": "checking", "check": "checking", "check-token": "checking", "final": "checking"}


class LiveDrill:
    """One trial on a process at work: ask, strike, wait for every answer and for everything to work again."""

    def __init__(self, arm: FlightArm, trial: Trial, companions: tuple[Companion, ...]) -> None:
        self._arm = arm
        self._trial = trial
        self._link = arm.craft.link
        self._rng = Random(trial.seed)
        self._companions = companions
        self._inquiry = Inquiry(self._link)
        self._expected: dict[int, str] = {}
        self._strike = Strike(arm, trial.fault) if trial.fault is not None else None
        self._disturbance: Disturbance | None = None
        self._recovered_s = math.nan
        self._lasts_until = math.inf

    def run(self) -> Evidence:
        """Run it. Never raises for what the fault did."""
        begun = time.monotonic()
        deadline = begun + self._arm.setup.deadline_s
        self._link.forget()
        counted = self._arm.counters()
        self._arm.link.begin(self._trial.seed)
        at = self._strike.fault.at if self._strike is not None else None
        if at is not None and at.point in BEFORE:
            self._hit()
        main = self._ask()
        if at is not None and at.point not in BEFORE:
            self._inquiry.follow(lambda: self._due(at, main, begun), deadline)
            if at.point != "delay":
                pause = time.monotonic() + self._rng.uniform(0, SPAN_S)
                self._inquiry.follow(lambda: time.monotonic() >= pause, pause)
            self._hit()
        answered = self._inquiry.follow(self._is_over, deadline)
        seconds = time.monotonic() - begun
        damaged = self._arm.link.damaged
        self._arm.link.begin(0, quiet=True)
        settled = self._inquiry.follow(self._is_whole, time.monotonic() + self._arm.options.settle_s)
        notes = [] if answered else [f"no end within {self._arm.setup.deadline_s:g} s"]
        notes += [] if settled else ["what was hit does not work again"]
        miscounted = answered and settled and not self._counts_right(counted)
        notes += ["the counters of flight tell of another number of answers"] if miscounted else []
        proven = self._proven()
        evidence = evidence_of(
            self._inquiry,
            main,
            self._expected,
            self._link,
            self._done(),
            gated=self._arm.arm.gated,
            replaced=self._replaced(),
            doubled=miscounted,
            dead=not settled,
            seconds=seconds,
            recovery_s=self._recovered_s,
            notes=notes,
            proven=proven,
            link_damage=damaged,
        )
        if self._arm.is_open:
            self._arm.release(self._inquiry)
        return evidence

    def _proven(self) -> bool | None:
        """Whether flight itself has repaired what was changed in the image; afterwards it is taken back anyway."""
        if self._strike is None:
            return None
        proven = None
        if self._strike.in_image:
            arm = self._arm.arm
            repairs = arm.guarded and arm.settings.get("integrity", {}).get("repair", True)
            self._inquiry.follow(self._is_told, time.monotonic() + (REPAIR_S if repairs else 0.0))
            proven = self._strike.repaired()
        self._strike.undo()
        if not self._strike.repaired():
            self._arm.close()
        return proven

    def _is_told(self) -> bool:
        """Whether the image is as it was, and flight has said so: on a busy machine its word comes after the deed."""
        assert self._strike is not None
        hit = self._disturbance
        return self._strike.repaired() and (hit is None or not hit.changed or bool(findings(self._link, hit.at)))

    # ---- the questions ---------------------------------------------------------------------

    def _ask(self) -> Query:
        """Ask the trial's question among its companions, in an order of chance; returns it."""
        trial = self._trial
        asked = [Companion(trial.question, trial.golden), *self._companions]
        self._rng.shuffle(asked)
        main: Query | None = None
        for each in asked:
            query = self._arm.ask(self._inquiry, each.question, each.golden)
            self._expected[query.id] = each.golden.text
            main = query if each.question is trial.question else main
        assert main is not None
        return main

    def _counts_right(self, before: tuple[int, int] | None) -> bool:
        """Whether flight itself counts each query accepted once and answered once."""
        after = self._arm.counters()
        if before is None or after is None:
            return True
        accepted = sum(query.accepted for query in self._inquiry.queries)
        answered = sum(query.answered for query in self._inquiry.queries)
        return (after[0] - before[0], after[1] - before[1]) == (accepted, answered)

    # ---- the fault -------------------------------------------------------------------------

    def _hit(self) -> None:
        assert self._strike is not None
        self._disturbance = self._strike.hit()
        self._lasts_until = self._disturbance.at + self._rng.uniform(*LASTS_S)
        self._inquiry.again()

    def _done(self) -> Disturbance | None:
        """What was done, as it stands at the end: a fault that waits may have met nothing."""
        done = self._disturbance
        return done if done is None or self._strike is None else replace(done, activated=self._strike.activated)

    def _due(self, at: Instant, main: Query, begun: float) -> bool:
        if at.point == "delay":
            return time.monotonic() >= begun + at.seconds
        if main.ended:
            return True
        if at.point == "token":
            return self._inquiry.tokens(main) >= at.token
        return self._inquiry.reached(main, STEPS.get(at.point, "receipt"))

    # ---- recovery --------------------------------------------------------------------------

    def _is_over(self) -> bool:
        self._look()
        strike = self._strike
        if strike is not None and strike.lasts and strike.activated and time.monotonic() > self._lasts_until:
            strike.undo()  # not before something has met it; `_proven` ends what nothing has
            self._lasts_until = math.inf
        return self._inquiry.ended

    def _is_whole(self) -> bool:
        self._look()
        missing = self._strike is not None and self._strike.loses and math.isnan(self._recovered_s)
        return not missing and self._arm.whole()

    def _replaced(self) -> Loss | None:
        """The process that the fault was to take away, and that another one has taken the place of."""
        if self._strike is None or math.isnan(self._recovered_s):
            return None
        return Loss(self._strike.process, self._strike.means, math.nan)

    def _look(self) -> None:
        """Note when the process that was hit is first seen to work again."""
        if self._strike is None or self._disturbance is None or not math.isnan(self._recovered_s):
            return
        if self._strike.loses and self._strike.replaced():
            self._recovered_s = time.monotonic() - self._disturbance.at
