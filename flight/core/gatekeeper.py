"""The release gate as the runner sees it: checks go to the verifier, its word comes back as a decision. Sans-I/O."""

from __future__ import annotations

import logging

from flight.core.custody import Custody
from flight.core.moment import Moment
from flight.core.receipt import Proof, Texts
from flight.core.release import UNVERIFIED, VERIFIED, Ask, Decision, Evidence, Policy, Release, Released
from flight.core.reporter import Reporter
from flight.core.run import ActiveRun
from flight.inference.protocol import Cancel, Done, Message, ModelFacts, Ready, Run
from flight.settings import FlightSettings
from flight.verifier.protocol import Checked, Indication

LOG = logging.getLogger("flight.core")
NEVER_MS = 0xFFFFFFFF


class Gatekeeper:
    """Serves one run at a time. What is to go to the verifier collects in `requests`."""

    def __init__(self, settings: FlightSettings, reporter: Reporter, custody: Custody) -> None:
        self._settings = settings
        own = settings.integrity
        self._policy = Policy(own.pages, own.replay, own.rounds, own.verifier_losses)
        self._reporter = reporter
        self._custody = custody
        self._checking: ActiveRun | None = None
        self.requests: list[Message] = []
        self.facts: ModelFacts | None = None
        """What the verifier has loaded, while there is one."""
        self.verified = self.unverified = self.reruns = self.disagreed = 0
        """Counts since core's counters were reset."""

    def reset_counters(self) -> None:
        """Count from zero again."""
        self.verified = self.unverified = self.reruns = self.disagreed = 0

    def begin(self, run: ActiveRun, facts: ModelFacts | None) -> None:
        """A query goes to the engine, for the first time or again."""
        if run.release is None:
            asked = run.query.args["assurance"]
            assurance = self._settings.integrity.assurance if asked == "as_set" else asked
            run.release = Release(self._policy, assurance)
        run.facts = facts
        run.release.offloaded = facts is not None and facts.gpu_layers > 0

    def made(self, run: ActiveRun, asked: Run, done: Done, now: Moment) -> Decision | None:
        """The engine has made the answer to what the journal says was `asked`; None while the gate is at work."""
        assert run.release is not None
        prompt_sha256 = run.figures.prompt_sha256.hex()
        return self._follow(run, run.release.made(asked, done, prompt_sha256=prompt_sha256, suspect=run.suspect), now)

    def indication(self, message: Indication, now: Moment) -> Decision | None:
        """Take a message of the verifier."""
        run = self._checking
        if isinstance(message, Ready):
            self.facts = message.model
            if run is not None and run.release is not None:
                return self._follow(run, run.release.verifier_ready(), now)
        if isinstance(message, Checked):
            self._custody.passed(message.passes, now.monotonic)
            if run is not None and run.release is not None and message.id == run.hex_id:
                self._say(run, message, now)
                return self._follow(run, run.release.checked(message, suspect=run.suspect), now)
        return None

    def lost(self, now: Moment) -> Decision | None:
        """The verifier is gone."""
        self.facts = None
        self.requests.clear()
        run = self._checking
        if run is None or run.release is None:
            return None
        run.waiting_since = now.monotonic
        return self._follow(run, run.release.verifier_lost(), now)

    def pump(self, now: Moment) -> Decision | None:
        """Give up where no verifier comes."""
        run = self._checking
        if run is None or run.release is None or run.waiting_since is None:
            return None
        if now.monotonic - run.waiting_since < self._settings.integrity.verifier_wait_s:
            return None
        LOG.error("query %s: no verifier came", run.hex_id)
        return self._follow(run, run.release.give_up(), now)

    def drop(self, run: ActiveRun) -> None:
        """The query has ended another way."""
        if self._checking is run:
            self._checking = None
            self.requests.append(Cancel(id=run.hex_id))
        if run.release is not None:
            run.release.drop()

    @property
    def wanted(self) -> bool:
        """Whether an answer is at the gate."""
        return self._checking is not None

    def proof(self, run: ActiveRun, texts: Texts, facts: ModelFacts | None, now: Moment) -> Proof:
        """What the receipt says of the gate; `texts` are what it will speak of."""
        released = _still_confirmed(run, texts, facts, self._custody.blind)
        self.verified += released.verdict == VERIFIED
        self.unverified += released.verdict == UNVERIFIED
        if released.verdict == UNVERIFIED and released.reason not in ("pages_only", "protection_off", "offloaded"):
            said = {"query_id": run.query.id, "reason": released.reason}
            self._reporter.event("inference.released_unverified", said, now)
        custody, release = self._custody, run.release
        evidence = release.evidence if release is not None else Evidence()
        outcomes = custody.outcomes - run.mark.outcomes
        age = NEVER_MS if custody.last_pass is None else int(1000 * (now.monotonic - custody.last_pass))
        return Proof(
            assurance=release.assurance if release is not None else "none",
            verdict=released.verdict,
            verdict_reason=released.reason,
            gate=evidence.how or "none",
            rounds=evidence.rounds,
            reruns=evidence.reruns,
            least_margin=evidence.least_margin,
            near_ties=evidence.near_ties,
            check_ms=int(1000 * evidence.check_s),
            engine_restarts=run.engine_restarts,
            verifier_restarts=run.verifier_restarts,
            manifest_sha256=custody.manifest_sha256,
            manifest_self_made=custody.self_made,
            page_passes=custody.passes - run.mark.passes,
            pass_age_ms=max(0, min(age, NEVER_MS)),
            found=sum(outcomes.values()),
            repaired_bit=outcomes["bit"],
            repaired_parity=outcomes["parity"],
            repaired_flash=outcomes["flash"],
            repaired_copy=outcomes["copy"],
            unrepaired=outcomes["unrepaired"],
            gpu_layers=facts.gpu_layers if facts is not None else 0,
            outside_bytes=facts.outside_bytes if facts is not None else 0,
            faults_allowed=self._settings.faults.allowed,
        )

    # ---- inside ----------------------------------------------------------------------------

    def _follow(self, run: ActiveRun, decision: Decision | None, now: Moment) -> Decision | None:
        """Hand a check over, as soon as there is a verifier; other decisions are the runner's."""
        if isinstance(decision, Ask):
            self._checking = run
            if self.facts is None:
                run.waiting_since = now.monotonic if run.waiting_since is None else run.waiting_since
                assert run.release is not None
                run.release.postpone()
            else:
                run.waiting_since = None
                run.checked_over = self.facts.sha256
                self.requests.append(decision.check)
            return None
        if decision is not None:
            self._checking = None
            run.waiting_since = None
            if isinstance(decision, Released):
                run.released = decision
        return decision

    def _say(self, run: ActiveRun, checked: Checked, now: Moment) -> None:
        """Events and counts of one word."""
        self.reruns += checked.how == "rerun"
        if checked.agrees:
            return
        self.disagreed += 1
        assert run.release is not None
        said = {"query_id": run.query.id, "round": run.release.evidence.rounds, "what": checked.reason}
        self._reporter.event("inference.gate_disagreed", {**said, "token": checked.differs_at or 0}, now)


def _still_confirmed(run: ActiveRun, texts: Texts, facts: ModelFacts | None, blind: bool) -> Released:
    """The verdict, if the texts that are to be signed are still those that the gate confirmed, over the same model.

    `blind`: the scrubber fails its self-tests, and the gate looks at pages with the same code.
    """
    released, check = run.released, run.release.confirmed if run.release is not None else None
    if released.verdict != VERIFIED:
        return released
    found = (texts.answer_sha256.hex(), texts.thinking_sha256.hex())
    same_model = facts is not None and facts.sha256 == run.checked_over
    if blind or check is None or not same_model or found != (check.answer_sha256, check.thinking_sha256):
        return Released(UNVERIFIED, "self_check")
    return released
