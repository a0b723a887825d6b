"""A fault put into what flight keeps, while it does not run: it was killed or stopped in the middle of its work.

One query was answered and not released, one was in the middle of its answer, one waited. After the fault flight is
started, and one question more is asked. What flight refuses to fly with is then put right by the launcher, as people
would, and flight is started again: the queries that it had accepted must still be there.
"""

from __future__ import annotations

import contextlib
import time
from random import Random
from typing import Final

from hil.campaign.flight_arm import FlightArm
from hil.campaign.flight_evidence import evidence_of
from hil.campaign.inquiry import Inquiry, Query
from hil.campaign.lane import Trial
from hil.campaign.outcome import Evidence
from hil.campaign.snapshot import ENDS, KILLED, Snapshot
from hil.campaign.strike import Strike, victim_at_rest
from hil.errors import HilError

STARTS: Final = 3
"""Starts without ever being up after which the launcher gives up, as `StartLimitBurst` of systemd does."""
TOLD_S: Final = 3.0
"""Longest time for telemetry to say why flight is in safe mode, s."""
REASONS: Final = ("inference.model_refused", "integrity.slot_failed", "supervisor.safe_mode_entered")
"""Events that say it, the most telling first."""


class ColdDrill:
    """One trial: lay out, damage, start, ask, judge; and put right what was refused."""

    def __init__(self, arm: FlightArm, trial: Trial, snapshots: dict[str, Snapshot]) -> None:
        assert trial.fault is not None
        self._arm = arm
        self._trial = trial
        self._end = Random(trial.seed).choice(ENDS)
        if getattr(trial.fault.place, "file", "") == "wal":
            self._end = KILLED  # an orderly end leaves no log to damage
        self._snapshot = snapshots[self._end]
        self._strike = Strike(arm, trial.fault)
        self._notes = [f"flight was {self._end} before"]

    def run(self) -> Evidence:
        """Run it. Never raises for what the fault did."""
        arm, trial = self._arm, self._trial
        begun = time.monotonic()
        deadline = begun + arm.setup.deadline_s
        arm.close()
        craft = arm.make(paced=False)
        self._snapshot.lay_out(craft.data)
        disturbance = self._strike.hit(victim_at_rest(arm))
        craft.link.forget()
        inquiry = Inquiry(craft.link)
        refused = self._start()
        expected = {kept.id: kept.companion.golden.text for kept in self._snapshot.queries}
        for kept in self._snapshot.queries:
            inquiry.expect(kept.id, kept.companion.question.question)
        main = self._ask(inquiry)
        expected[main.id] = trial.golden.text
        if not refused:
            inquiry.follow(lambda: inquiry.ended, deadline)
            refused = self._refusal(main)
        if refused:
            self._notes.append(refused)
            self._put_right(inquiry, deadline)
        if not inquiry.ended:
            self._notes.append(f"no end within {arm.setup.deadline_s:g} s")
        evidence = evidence_of(
            inquiry,
            main,
            expected,
            craft.link,
            disturbance,
            gated=arm.arm.gated,
            refused=refused,
            dead=False,
            seconds=time.monotonic() - begun,
            notes=self._notes,
        )
        arm.close()
        return evidence

    def _start(self) -> str:
        """Start flight as a launcher does; returns the sentence with which it refuses, empty when it is up."""
        arm = self._arm
        said = ""
        for _ in range(STARTS):
            arm.craft.launch()
            try:
                arm.craft.await_ready(arm.setup.deadline_s)
            except HilError:
                said = arm.craft.said
                continue
            return "" if arm.craft.mode == "normal" else f"safe mode: {self._safe_reason()}"
        return said or "it does not start, and says nothing"

    def _safe_reason(self) -> str:
        link = self._arm.craft.link
        end = time.monotonic() + TOLD_S
        while time.monotonic() < end and not link.events(REASONS[-1]):
            link.listen(0.05)
        found = [one.args["text"] for name in REASONS for one in link.events(name)]
        return str(found[0]) if found else "no reason is told"

    def _ask(self, inquiry: Inquiry) -> Query:
        """The trial's question: a new one, asked of whatever there is."""
        return self._arm.ask(inquiry, self._trial.question)

    def _refusal(self, main: Query) -> str:
        return f"the question is refused: {main.refused}" if main.refused else ""

    def _put_right(self, inquiry: Inquiry, deadline: float) -> None:
        """Undo the damage, start flight again (out of safe mode by command), and follow what it had accepted."""
        craft = self._arm.craft
        craft.link.idle = lambda: None
        if craft.alive:
            craft.stop()
        self._strike.undo()
        craft.launch()
        with contextlib.suppress(HilError):
            craft.await_ready(max(1.0, deadline - time.monotonic()))
            if craft.mode == "safe":
                craft.link.command("supervisor.leave_safe_mode")
            inquiry.again()
            inquiry.follow(lambda: inquiry.ended, deadline + self._arm.setup.deadline_s)
