"""The final word on a query: receipt made and sealed, committed to the journal, and only then said. Sans-I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from flight.core.energy import Energy
from flight.core.moment import Moment
from flight.core.receipt import Figures, Proof, Texts, receipt
from flight.core.reporter import Reporter
from flight.core.signer import Signer
from flight.core.teller import Teller
from flight.inference.protocol import ModelFacts
from flight.store import query as q
from flight.store.journal import Journal
from flight.store.query import Query
from spacelink import Segment


@dataclass(frozen=True)
class Ending:
    """How a query ends. `state` is the journal's, `reason` a reason code's name; `last`: segments not sent yet.

    `started` False: it never left the queue, so its telecommand fails at the start.
    """

    state: str
    reason: str = ""
    detail: str = ""
    started: bool = True
    figures: Figures = field(default_factory=Figures)
    texts: Texts = field(default_factory=Texts)
    last: tuple[tuple[str, Segment], ...] = ()
    proof: Proof = field(default_factory=Proof)
    facts: ModelFacts | None = None
    energy: Energy = field(default_factory=Energy)


class FinalWord:
    """Gives it; `speed` is that of the mission clock."""

    def __init__(self, journal: Journal, reporter: Reporter, teller: Teller, signer: Signer, speed: float) -> None:
        self._journal = journal
        self._reporter = reporter
        self._teller = teller
        self._signer = signer
        self._speed = speed

    def give(self, query: Query, end: Ending, now: Moment) -> None:
        """Commit it, then say it."""
        queued_ms = int(1000 * query.waited(now.mission) / self._speed)
        ended = now.mission
        made = receipt(
            query, end.state, end.reason, end.figures, end.facts, queued_ms, end.proof, end.texts, end.energy, ended
        )
        word = self._signer.seal(made)
        query = self._journal.finish(
            query,
            end.state,
            end.reason,
            ended,
            answer=end.texts.answer,
            thinking=end.texts.thinking,
            prompt_sha256=end.figures.prompt_sha256,
            receipt=word,
        )
        self._teller.end()
        self._reporter.report("inference.receipt", word, now)
        self._teller.send(query, end.last, now)
        if end.state == q.DONE:
            self._reporter.completed(query.request_id, now)
            return
        if end.state == q.FAILED:
            self._reporter.event("inference.query_failed", {"query_id": query.id, "reason": end.reason}, now)
        if query.is_lost:
            return  # whose telecommand it was is not known any more
        say = self._reporter.failed if end.started else self._reporter.start_failed
        say(query.request_id, end.reason, end.detail, now)
