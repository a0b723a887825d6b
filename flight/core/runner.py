"""The queue and the query that runs: from the journal to the engine, and from the engine to the link. Sans-I/O.

What is to go to the engine collects in `requests`. Whatever dies meanwhile, the journal says what runs; it runs again
from its frozen messages, and what comes out is compared with what was sent before.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from flight.core.conversation import asks_for, freeze, intact
from flight.core.custody import Custody
from flight.core.draft import Draft
from flight.core.energy import EnergyMeter
from flight.core.final_word import Ending, FinalWord
from flight.core.gatekeeper import Gatekeeper
from flight.core.moment import Moment
from flight.core.receipt import Texts
from flight.core.release import Again, Decision, Released
from flight.core.renewal import Renewal
from flight.core.reporter import Reporter
from flight.core.run import KINDS, ActiveRun, request_for
from flight.core.scenes import HOUSEKEEPING, Scene, SceneFolder
from flight.core.signer import Signer
from flight.core.teller import Teller
from flight.errors import SceneRefused
from flight.inference.protocol import (
    Cancel,
    Done,
    Failed,
    Indication,
    ModelFacts,
    Prefill,
    Ready,
    Request,
    Started,
    Text,
)
from flight.inference.protocol import Refused as EngineRefused
from flight.integrity.protocol import Found
from flight.settings import FlightSettings
from flight.store import query as q
from flight.store.draft import DraftFile
from flight.store.journal import Journal
from flight.store.query import Query
from flight.verifier.protocol import Checked, Checking
from flight.verifier.protocol import Indication as GateIndication
from spacelink import DICTIONARY

LOG = logging.getLogger("flight.core")

SLACK_S: Final = 1.0
"""What an answer that the clock ended may lack of its time budget: the engine's figures begin later than its clock."""


class Runner:
    """Runs one query at a time, in the order of acceptance."""

    def __init__(
        self,
        settings: FlightSettings,
        journal: Journal,
        reporter: Reporter,
        scenes: SceneFolder,
        draft_file: DraftFile,
        housekeeping: Callable[[], Scene],
        signer: Signer,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._reporter = reporter
        self._scenes = scenes
        self._teller = Teller(journal, reporter, draft_file, settings.core.progress_s)
        self._housekeeping = housekeeping
        self._final_word = FinalWord(journal, reporter, self._teller, signer, settings.clock.speed)
        self._queue: deque[Query] = deque()
        self.active: ActiveRun | None = None
        self.requests: list[Request] = []
        self.facts: ModelFacts | None = None
        self.on_finding: Callable[[Found, Moment], None] = lambda _found, _now: None
        """Told of the damage that the gate found."""
        self.custody = Custody()
        self.gate = Gatekeeper(settings, reporter, self.custody)
        self.renewal = Renewal(settings.integrity.renew_answers)
        self.energy = EnergyMeter(settings.health.assumed_power_w)
        self.safe = False
        """Safe mode: nothing is started."""
        self.held = False
        """The thermal gate is closed: nothing new is started."""
        self.excused = False
        """The engine's end was asked for, so it is not held against the query that runs."""
        self.refused = 0
        """Questions that were refused since the counters were reset."""
        self.tokens = 0
        self.tokens_per_s: float | None = None

    # ---- from the journal ------------------------------------------------------------------

    def recover(self) -> int:
        """Take up what the journal says is open; returns how many."""
        waiting = self._journal.waiting()
        for query in waiting:
            if query.state == q.RUNNING and self.active is None:
                before = self._teller.before(query)
                again = self._journal.interrupted(query, failures=query.failures)
                drafts = {kind: Draft(sent) for kind, sent in zip(KINDS, before, strict=True)}
                self.active = ActiveRun.taken_up(again, drafts)
            else:
                self._queue.append(query)
        return len(waiting)

    def enqueue(self, query: Query) -> None:
        """A query was accepted."""
        self._queue.append(query)

    def lost(self, query: Query, now: Moment) -> None:
        """A query is damaged in every copy: say so in a receipt."""
        self._finish(query, Ending(q.FAILED, q.DAMAGED), now)

    @property
    def waiting(self) -> int:
        """Queries in the queue, without the one that runs."""
        return len(self._queue)

    def cancel(self, query: Query, now: Moment) -> None:
        """End a query that is open."""
        if self.active is not None and self.active.query.id == query.id:
            self._end_active(q.CANCELLED, now)
        else:
            self._drop(query, q.CANCELLED, "cancelled", now)

    # ---- time ------------------------------------------------------------------------------

    def pump(self, now: Moment) -> None:
        """Do what time and circumstances allow: expire, resume, start."""
        for query in [one for one in self._queue if one.expired(now.mission)]:
            self._drop(query, q.EXPIRED, "expired", now)
        if self.active is not None and not self.active.ending and self.active.query.expired(now.mission):
            self._end_active(q.EXPIRED, now)
        self._decide(self.gate.pump(now), now)
        self.renewal.pump(now.monotonic)
        if self.safe or self.facts is None:
            return
        if self.active is not None:
            if not self.active.at_engine and not self.gate.wanted:
                self._resume(self.active, now)
        elif self._queue and not self.held:
            self._start(self._queue.popleft(), now)

    def _start(self, query: Query, now: Moment) -> None:
        """Freeze what the model reads, say so, and hand it over."""
        query = self._journal.find(query.id) or query  # proven again: it has waited in our memory
        if query.is_lost:
            return
        try:
            name = query.args["scene"]
            scene = self._housekeeping() if name == HOUSEKEEPING else self._scenes.load(name) if name else None
        except SceneRefused as refusal:
            self._finish(query, Ending(q.FAILED, refusal.reason, started=False), now)
            return
        parent = self._journal.find(query.args["parent"]) if query.args["parent"] else None
        if query.args["parent"] and (parent is None or parent.messages is None):
            self._finish(query, Ending(q.FAILED, "parent_unknown", started=False), now)
            return
        frozen = freeze(query, scene, parent)
        data = scene.data if scene else None
        query = self._journal.start(query, frozen.messages, frozen.sha256, data, now.mission)
        self._reporter.started(query.request_id, now)
        self.energy.begin(now.monotonic)
        self._hand_over(ActiveRun(query, mark=self.custody.mark()))

    def _resume(self, run: ActiveRun, now: Moment) -> None:
        if not intact(run.query):
            self._finish(run.query, Ending(q.FAILED, "state_damaged"), now)
            return
        self._reporter.event(
            "inference.query_resumed", {"query_id": run.query.id, "restarts": min(run.query.restarts, 65535)}, now
        )
        # The core that said so may be gone, and its words with it.
        self._reporter.started(run.query.request_id, now)
        self._hand_over(run)

    def _hand_over(self, run: ActiveRun) -> None:
        self.active = run
        run.begin()
        self.gate.begin(run, self.facts)
        self._teller.begin(run)
        request = request_for(run.query, self._settings.engine)
        self.requests.append(request.model_copy(update={"resume": run.resume}))

    # ---- the engine ------------------------------------------------------------------------

    def engine_lost(self, now: Moment) -> None:
        """The engine is gone; what ran, runs again with the next one, unless it has cost too many."""
        self.facts = None
        self.requests.clear()
        excused, self.excused = self.excused, False
        run = self.active
        if run is not None:
            run.engine_restarts += 1
        if run is None or not run.at_engine:
            return
        excused, run.after_fault = excused or run.after_fault, False
        run.at_engine = False
        if run.ending:
            self._finish_active(run.ending, now)
            return
        run.query = self._journal.interrupted(run.query, failures=run.query.failures + (not excused))
        if run.query.failures >= self._settings.core.query_failures:
            self._finish_active(q.FAILED, now, reason="engine_failed")

    def indication(self, message: Indication, now: Moment) -> None:
        """Take a message of the engine."""
        if isinstance(message, Ready):
            self.facts = facts = message.model
            self.renewal.done()
            said = {"name": facts.name, "quantization": facts.quantization, "n_ctx": facts.n_ctx}
            self._reporter.event("inference.model_loaded", {**said, "threads": min(facts.threads, 255)}, now)
            return
        run = self.active
        if run is None or not run.at_engine or getattr(message, "id", None) != run.hex_id:
            return  # late word on a query that has ended
        run.after_fault = False
        match message:
            case Prefill():
                self._teller.progress(run, message.done, message.total, None, now)
            case Started():
                run.started(message)
                if message.resumed:
                    said = {"query_id": run.query.id, "tokens": message.resumed}
                    self._reporter.event("inference.checkpoint_used", said, now)
                run.step = "decode"
                self._reporter.step(run.query.request_id, "decode", now)
            case Text():
                self._teller.text(run, message, now)
            case Done():
                self._done(run, message, now)
            case EngineRefused():
                self._finish_active(q.FAILED, now, reason=_known(message.reason), detail=message.detail)
            case Failed():
                self._failed(run, message, now)
            case _:
                pass

    def _done(self, run: ActiveRun, message: Done, now: Moment) -> None:
        run.done(message)
        if not run.hashes_agree(message):
            self._failed(
                run, Failed(id=message.id, reason="internal", detail="text and hash of the engine differ"), now
            )
            return
        if any(draft.shorter() for draft in run.drafts.values()) and message.stop != "cancelled":
            self._teller.differs(run, now)
        if message.decode_ms > 0 and message.tokens > 1:
            self.tokens_per_s = 1000.0 * message.tokens / message.decode_ms
        self.tokens += message.tokens
        run.at_engine = False
        if message.stop == "cancelled":
            self._finish_active(run.ending or q.CANCELLED, now)
            return
        query = self._journal.find(run.query.id)  # what was asked is read again: our memory is no witness
        parent = self._journal.find(query.args["parent"]) if query is not None and query.args["parent"] else None
        if query is None or not intact(query) or not asks_for(query, parent):
            self._finish_active(q.FAILED, now, reason="state_damaged")
            return
        asked = request_for(query, self._settings.engine)
        if message.stop == "time" and message.prefill_ms + message.decode_ms < 1000 * (asked.time_budget_s - SLACK_S):
            said = f"ended for its time after {message.prefill_ms + message.decode_ms} ms of {asked.time_budget_s:g} s"
            self._failed(run, Failed(id=message.id, reason="internal", detail=said), now)
            return
        run.step = "checking"
        decision = self.gate.made(run, asked, message, now)
        if not isinstance(decision, Released):
            self._reporter.step(run.query.request_id, "checking", now)
        self._decide(decision, now)

    # ---- the verifier ----------------------------------------------------------------------

    def verifier_indication(self, message: GateIndication, now: Moment) -> None:
        """Take a message of the verifier."""
        if isinstance(message, Checking) and self.active is not None and message.id == self.active.hex_id:
            self._teller.progress(self.active, message.done, message.total, None, now)
        for found in message.findings if isinstance(message, Checked) else (message,):
            if isinstance(found, Found):
                self.on_finding(found, now)
        self._decide(self.gate.indication(message, now), now)

    def verifier_lost(self, now: Moment) -> None:
        """The verifier is gone; what it was at, the next one is asked."""
        if self.active is not None:
            self.active.verifier_restarts += 1
        self._decide(self.gate.lost(now), now)

    def suspect(self) -> None:
        """Damage was found, by whomever: the answer that is being made needs the exact re-run."""
        if self.active is not None:
            self.active.damaged()

    def _decide(self, decision: Decision | None, now: Moment) -> None:
        """Do what became of the answer at the gate."""
        if isinstance(decision, Released):
            self._finish_active(q.DONE, now)
        elif isinstance(decision, Again):
            run = self.active
            assert run is not None
            run.query = self._journal.interrupted(run.query, failures=run.query.failures)
            run.damaged()
            self._renew(now)

    def _renew(self, now: Moment) -> None:
        """Engine and verifier start anew; until the engine has, nothing is handed over."""
        self.excused = self.facts is not None
        self.facts = None
        self.gate.facts = None
        self.renewal.ask(now.monotonic)

    # ---- faults and ends -------------------------------------------------------------------

    def _failed(self, run: ActiveRun, message: Failed, now: Moment) -> None:
        """A fault while it ran: try again, and after a few times say that it does not work."""
        LOG.warning("query %s: %s: %s", run.hex_id, message.reason, message.detail)
        run.at_engine = False
        if run.ending:
            self._finish_active(run.ending, now)
            return
        run.after_fault = True
        run.query = self._journal.interrupted(run.query, failures=run.query.failures + 1)
        if run.query.failures >= self._settings.core.query_failures:
            self._finish_active(q.FAILED, now, reason=_known(message.reason), detail=message.detail)

    # ---- the end of a query ----------------------------------------------------------------

    def _end_active(self, state: str, now: Moment) -> None:
        """Cancelled or expired while it runs: the engine is asked to stop and has the last word."""
        run = self.active
        assert run is not None
        run.ending = run.ending or state
        if run.at_engine:
            self.requests.append(Cancel(id=run.hex_id))
        else:
            self._finish_active(run.ending, now)

    def _finish_active(self, state: str, now: Moment, *, reason: str = "", detail: str = "") -> None:
        run = self.active
        assert run is not None
        reason = reason or {q.CANCELLED: "cancelled", q.EXPIRED: "expired"}.get(state, "")
        if state == q.DONE and run.figures.stop == "time":
            reason = "time_budget"
        self.active = None
        self.gate.drop(run)
        # A run that was cut off may have less than what was sent before it: keep what ground may have.
        done = state == q.DONE
        texts = Texts(**{kind: draft.text if done else draft.longest for kind, draft in run.drafts.items()})
        last = tuple(run.close())
        facts = self.facts or run.facts
        proof = self.gate.proof(run, texts, facts, now)
        energy = self.energy.end(now.monotonic)
        end = Ending(
            state, reason, detail, figures=run.figures, texts=texts, last=last, proof=proof, facts=facts, energy=energy
        )
        self._finish(run.query, end, now)
        if state == q.DONE and self.renewal.answered() and self.facts is not None:
            self._renew(now)

    def _drop(self, query: Query, state: str, reason: str, now: Moment) -> None:
        """End a query that waits."""
        self._queue = deque(one for one in self._queue if one.id != query.id)
        self._finish(query, Ending(state, reason), now)

    def _finish(self, query: Query, end: Ending, now: Moment) -> None:
        """The final word on a query, whether it runs or not."""
        if self.active is not None and self.active.query.id == query.id:
            self.active = None
        self._final_word.give(query, replace(end, facts=end.facts or self.facts), now)


def _known(reason: str) -> str:
    """A reason of the engine as the dictionary knows it."""
    return reason if reason in DICTIONARY.reasons else "engine_failed"
