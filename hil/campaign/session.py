"""One question through engine and gate while a fault strikes: what flight's core does, in one loop.

`flight.core.release` decides, as in flight; this loop only carries its messages and starts processes anew. An engine
that is lost or fails is asked again, up to `core.query_failures` times (`flight.core.runner`); a lost verifier is
started and asked again. The scrubber's pass, which in flight comes within a second whatever happens, is made here
between attempts, by the scrubber's own `Guard`; one that comes during an answer is left to the flight lane.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from flight.core.release import Ask, Decision, Policy, Release, Released
from flight.inference.protocol import Done, Refused, Run
from flight.integrity.finding import Finding
from flight.integrity.protocol import Found
from flight.verifier.protocol import Checked
from hil.campaign.asking import Lost, Said, Watch, ask, verify
from hil.campaign.crew import ENGINE, VERIFIER, Crew, UnreadyError
from hil.campaign.lane import Arm
from hil.campaign.outcome import Detection, Evidence
from hil.campaign.shot import Shot

_OWN_ATTEMPTS: Final = 3
"""How often an answer is made at most where a protection from outside takes it back."""
_OUTSIDE: Final = {"image": "pages", "parity": "parity", "codes": "codes"}


@dataclass
class _Log:
    """What came about."""

    detections: list[Detection] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)
    how: str = ""
    margin: float = math.nan
    recovery_s: float = math.nan


class Session:
    """One trial in one arm."""

    def __init__(self, arm: Arm, crew: Crew, shot: Shot, watch: Watch, run: Run) -> None:
        self._arm = arm
        self._crew = crew
        self._shot = shot
        self._watch = watch
        self._run = run
        self._asked = 0
        self._checks = 0
        self._made = 0
        self._failures = 0
        self._suspect = False
        self.first: Said | None = None
        """The first attempt, if it came to an answer: what an arm without a gate would release."""
        self.first_struck = False
        """Whether the fault had struck by then."""
        self._log = _Log()
        self._starts = crew.starts
        integrity = crew.settings.integrity
        self._release = Release(Policy(pages=integrity.pages, replay=integrity.replay), arm.assurance)

    def run(self) -> Evidence:
        """Ask, and have the answer released or refused as flight would."""
        self._crew.child(ENGINE)
        if self._arm.gated or self._arm.guarded:
            self._crew.child(VERIFIER)
        self._starts = self._crew.starts
        self._shot.begin()
        if self._shot.on_flash:
            self._crew.end(VERIFIER)  # it reads the table at its start only
        while True:
            said = self._answer()
            end = said.end
            if not isinstance(end, Done) or not said.whole:
                return self._refused("engine_failed" if end is None else getattr(end, "reason", "internal"))
            self._made += 1
            self._shot.reach("done")
            if self._own_protection() and self._made < _OWN_ATTEMPTS:
                continue
            decision: Decision | None = self._release.made(
                self._run, end, prompt_sha256=said.prompt_sha256, suspect=self._suspect or self._shot.needs_rerun
            )
            while isinstance(decision, Ask):
                decision = self._check(decision)
            if isinstance(decision, Released):
                return self._released(said, end, decision)
            self._crew.end(ENGINE)
            self._crew.end(VERIFIER)
            self._scrub()

    # ---- the engine ------------------------------------------------------------------------

    def _answer(self) -> Said:
        """An answer, from as many engines as one query may cost."""
        while True:
            said = self._ask()
            if (said.end is not None and said.whole) or isinstance(said.end, Refused):
                return said
            self._failures += 1
            if said.lost is not None:
                self._lost(ENGINE, said.lost)
            else:
                self._made += 1
                self._found("numeric" if getattr(said.end, "reason", "") == "numeric_fault" else "engine")
                self._crew.end(ENGINE)
            if self._failures >= self._crew.settings.core.query_failures:
                return said
            self._scrub()

    def _ask(self) -> Said:
        """One attempt; the fault belongs to the first."""
        first = self._asked == 0
        run = self._run.model_copy(update={"attempt": min(self._asked, 255)})
        self._asked += 1
        if first:
            run = run.model_copy(update={"hold_at": self._shot.holds(ENGINE), "arm": self._shot.arms(ENGINE)})
        try:
            said = ask(self._crew.child(ENGINE), run, self._shot if first else Shot.none(), self._watch)
        except UnreadyError:
            said = Said(lost="crash")
        self._shot.passed()
        if first and isinstance(said.end, Done) and said.whole:
            self.first, self.first_struck = said, self._shot.injection is not None or self._shot.struck
        return said

    def _scrub(self) -> None:
        """The scrubber's next pass, where the arm has one."""
        guard = self._crew.guard()
        if guard is None:
            return
        done = guard.full_pass(repair=self._crew.settings.integrity.repair)
        for found in done.findings:
            self._met(found, done.seconds)

    def _own_protection(self) -> bool:
        """Whether the protection that the arm brings found damage: what it mended, the answer may have met."""
        found = self._crew.own_findings()
        for _ in found:
            self._found("protection")
        return bool(found)

    # ---- the gate --------------------------------------------------------------------------

    def _check(self, ask: Ask) -> Decision | None:
        """The verifier's word on an answer, through as many verifiers as it takes."""
        first = self._checks == 0
        self._checks += 1
        check = ask.check
        if first:
            update = {"hold_at": self._shot.holds(VERIFIER), "arm": self._shot.arms(VERIFIER)}
            check = check.model_copy(update=update)
        word: Checked | Lost
        try:
            shot = self._shot if first else Shot.none()
            word = verify(self._crew.child(VERIFIER), check, shot, self._watch, self._met)
        except UnreadyError:
            word = "crash"
        self._shot.passed()
        if isinstance(word, str):
            self._lost(VERIFIER, word)
            self._scrub()
            return self._release.verifier_lost() or self._release.verifier_ready()
        self._note(word)
        decision = self._release.checked(word, suspect=self._suspect)
        if decision is None and self._release.waits_for_verifier:
            self._crew.end(VERIFIER)  # it broke at the work, and said so
            return self._release.verifier_ready()
        return decision

    def _note(self, checked: Checked) -> None:
        self._log.how = checked.how
        if checked.least_margin is not None:
            self._log.margin = checked.least_margin
        for found in checked.findings:
            self._met(found, checked.pass_s)
        if not checked.agrees and checked.reason != "unrepaired":
            self._found(checked.how if checked.reason == "tokens" else checked.reason or checked.how)

    def _met(self, found: Found | Finding, pass_s: float = math.nan) -> None:
        """Damage was found: by the scrubber, or by the verifier in a check or while it loaded."""
        self._suspect = self._suspect or found.acts
        self._found(_OUTSIDE.get(found.part, str(found.part)), str(found.outcome), found.bits or 0, pass_s)

    # ---- what is told ----------------------------------------------------------------------

    def _lost(self, process: str, how: str) -> None:
        (self._log.crashed if how == "crash" else self._log.hung).append(process)
        self._found(how)
        began = monotonic()
        self._crew.end(process)
        with contextlib.suppress(UnreadyError):  # the next attempt tries again, and counts
            self._crew.child(process)
            self._log.recovery_s = monotonic() - began

    def _found(self, by: str, outcome: str = "", bits: int = 0, repair_s: float = math.nan) -> None:
        self._log.detections.append(Detection(by, monotonic() - self._shot.at, outcome, bits, repair_s))

    def _refused(self, reason: str) -> Evidence:
        return self._evidence(None, None, "", reason)

    def _released(self, said: Said, end: Done, released: Released) -> Evidence:
        text = said.text.decode("utf-8", "replace")
        reason = "" if released.reason == "none" else released.reason
        return self._evidence(text, end.token_ids, released.verdict, reason)

    def _evidence(self, answer: str | None, tokens: tuple[int, ...] | None, verdict: str, reason: str) -> Evidence:
        log = self._log
        return Evidence(
            answer=answer,
            tokens=tokens,
            verdict=verdict,
            reason=reason,
            how=log.how,
            gated=self._arm.gated,
            attempts=max(1, self._made),
            detections=tuple(log.detections),
            crashed=tuple(log.crashed),
            hung=tuple(log.hung),
            restarts=self._crew.starts - self._starts,
            margin=log.margin,
            recovery_s=log.recovery_s,
        )
