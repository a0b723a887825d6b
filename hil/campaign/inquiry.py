"""Questions put to one flight process through whatever happens to it, as ground would: repeated until accepted, polled,
missing segments asked for. What came is judged against what must come: each answered once, with the expected text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hil.telecommander import Telecommander

REPEAT_S: Final = 0.25
"""Pause before a question is repeated, or a report or segments are asked for again, s."""
LISTEN_S: Final = 0.02
"""Longest time to listen before due work is looked at again, s."""


@dataclass
class Query:
    """One question on its way. `sent`: arguments of the telecommand beside id and question."""

    id: int
    question: str
    sent: Mapping[str, Any]
    requests: list[bytes] = field(default_factory=list)
    accepted: bool = False
    refused: str = ""
    receipt: Mapping[str, Any] | None = None
    text: str | None = None
    gone: bool = False
    """Accepted once, and now unknown on board."""
    due: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be waited for: refused, ended without an answer, or the whole text is here."""
        if self.refused or self.gone:
            return True
        return self.receipt is not None and (self.text is not None or self.receipt["outcome"] != "done")

    @property
    def answered(self) -> bool:
        """Whether it has ended with an answer."""
        return self.receipt is not None and self.receipt["outcome"] == "done"


class Inquiry:
    """Some queries to one spacecraft, followed to their ends."""

    def __init__(self, link: Telecommander) -> None:
        self._link = link
        self.queries: list[Query] = []

    def ask(self, query_id: int, question: str, **args: Any) -> Query:
        """Send a question; it is repeated in `turn` until flight has said what it makes of it."""
        query = Query(query_id, question, args)
        self.queries.append(query)
        self._send(query)
        return query

    def expect(self, query_id: int, question: str) -> Query:
        """Follow a query that was accepted before, by another inquiry."""
        self.queries.append(Query(query_id, question, {}, accepted=True))
        return self.queries[-1]

    @property
    def ended(self) -> bool:
        """Whether every query has ended."""
        return all(query.ended for query in self.queries)

    def follow(self, until: Callable[[], bool], deadline: float) -> bool:
        """Take turns until a condition holds (True) or the monotonic deadline has passed (False)."""
        while not until():
            if time.monotonic() > deadline:
                return False
            self.turn()
        return True

    def turn(self) -> None:
        """Listen for a moment and do what is due."""
        self._link.listen(LISTEN_S)
        now = time.monotonic()
        for query in self.queries:
            if not query.ended:
                self._hear(query)
            if not query.ended and now >= query.due:
                self._nudge(query, now)

    def again(self) -> None:
        """Ask at once whatever is open: flight was away and may not have heard."""
        for query in self.queries:
            query.due = 0.0

    def reached(self, query: Query, step: str) -> bool:
        """Whether a query has been heard to be at a step: prefill, decode, checking, or `receipt` for its end."""
        if query.receipt is not None:
            return True
        if step == "receipt":
            return self._link.receipt(query.id) is not None
        if step == "prefill":
            return any(self._link.named("verification.started", request_id=one) for one in query.requests)
        if any(self._link.named("verification.step", request_id=one, step=step) for one in query.requests):
            return True
        return bool(self._link.named("inference.progress", query_id=query.id, step=step))

    def tokens(self, query: Query) -> int:
        """How many tokens of an answer have been reported."""
        progress = self._link.named("inference.progress", query_id=query.id, step="decode")
        return max((int(one.args["done"]) for one in progress), default=0)

    # ---- the judgement ---------------------------------------------------------------------

    def lost(self) -> list[Query]:
        """Queries that flight accepted and never ended, or knows no more."""
        return [query for query in self.queries if query.accepted and (query.gone or not query.ended)]

    def doubled(self) -> list[Query]:
        """Queries that were answered more than once: two receipts that say different things."""
        return [query for query in self.queries if len(self._receipts(query)) > 1]

    def _receipts(self, query: Query) -> set[str]:
        return {repr(sorted(one.args.items())) for one in self._link.named("inference.receipt", query_id=query.id)}

    # ---- inside ----------------------------------------------------------------------------

    def _send(self, query: Query) -> None:
        query.requests.append(self._link.ask(query.id, query.question, **query.sent))
        query.due = time.monotonic() + REPEAT_S

    def _hear(self, query: Query) -> None:
        for request in query.requests:
            if self._link.named("verification.accepted", request_id=request):
                query.accepted = True
            refused = self._link.named("verification.rejected", request_id=request)
            if refused and not query.accepted:
                query.refused = str(refused[0].args["reason"])
        if not query.requests:
            query.gone = bool(self._link.named("inference.query_state", query_id=query.id, state="unknown"))
        receipt = self._link.receipt(query.id)
        if receipt is not None:
            query.accepted = True
            query.receipt = receipt
            query.text = self._link.text(receipt)

    def _nudge(self, query: Query, now: float) -> None:
        query.due = now + REPEAT_S
        if query.receipt is not None:
            self._link.command("inference.resend", {"query_id": query.id})
        elif query.accepted:
            self._link.command("inference.report", {"query_id": query.id})
        else:
            self._send(query)
