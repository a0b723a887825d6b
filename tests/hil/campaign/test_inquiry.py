"""What ground in the small makes of what it hears: a query is answered once, or it is lost, doubled, gone, refused."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hil.campaign.inquiry import Inquiry, Query
from hil.telecommander import Telecommander
from spacelink import Report

TEXT = "Dark 2: V42, V36."


class Heard:
    """A telecommander that nobody answers but the test."""

    def __init__(self) -> None:
        self.link = Telecommander()
        self.inquiry = Inquiry(self.link)

    def hear(self, name: str, **args: Any) -> None:
        """A report arrives."""
        self.link.reports.append(Report(name, 0, 0, args, 0.0, 0))
        self.link.arrivals.append(time.monotonic())

    def receipt(self, query: Query, text: str = TEXT, **args: Any) -> None:
        """The receipt of a query arrives."""
        said = {"outcome": "done", "attempt": 0, "verdict": "verified", "answer_bytes": len(text.encode())}
        digest = hashlib.sha256(text.encode()).digest()
        self.hear("inference.receipt", query_id=query.id, answer_sha256=digest, **{**said, **args})

    def segment(self, query: Query, text: str = TEXT, attempt: int = 0) -> None:
        """The answer's only segment arrives."""
        self.hear("inference.segment", query_id=query.id, kind="answer", number=0, data=text.encode(), attempt=attempt)


@pytest.fixture
def heard() -> Iterator[Heard]:
    one = Heard()
    yield one
    one.link.close()


def test_a_query_has_ended_when_receipt_and_whole_text_are_here(heard: Heard) -> None:
    """Neither acceptance, nor the receipt alone, nor a text that does not hash to it is an end."""
    query = heard.inquiry.ask(1, "Which vessels are dark?")
    heard.inquiry.turn()
    assert (query.accepted, query.ended, heard.inquiry.lost()) == (False, False, [])
    heard.hear("verification.accepted", request_id=query.requests[0])
    heard.inquiry.turn()
    assert (query.accepted, query.ended, heard.inquiry.lost()) == (True, False, [query])
    heard.receipt(query)
    heard.inquiry.turn()
    assert not query.ended
    heard.segment(query, TEXT.replace("36", "37"))
    heard.inquiry.turn()
    assert not query.ended
    heard.link.reports.pop()
    heard.link.arrivals.pop()
    heard.segment(query)
    heard.inquiry.turn()
    assert (query.ended, query.answered, query.text, heard.inquiry.lost()) == (True, True, TEXT, [])


def test_the_same_receipt_again_is_no_second_answer_and_another_one_is(heard: Heard) -> None:
    """Flight repeats receipts when asked; two that differ mean that the query was answered twice."""
    query = heard.inquiry.ask(1, "?")
    heard.receipt(query)
    heard.receipt(query)
    assert heard.inquiry.doubled() == []
    heard.receipt(query, "Dark 1: V5.")
    assert heard.inquiry.doubled() == [query]


def test_a_query_that_flight_knows_no_more_is_lost(heard: Heard) -> None:
    """Of a query that was accepted before, "unknown" is the end of it; of a new one it says that it did not arrive."""
    old, new = heard.inquiry.expect(1, "?"), heard.inquiry.ask(2, "?")
    for query in (old, new):
        heard.hear("inference.query_state", query_id=query.id, state="unknown")
    heard.inquiry.turn()
    assert (old.ended, new.ended) == (True, False)
    assert heard.inquiry.lost() == [old]


def test_a_refusal_counts_unless_the_query_was_accepted_before(heard: Heard) -> None:
    """A repeat may be refused for another reason (a full queue, say) after the first one was accepted."""
    refused, accepted = heard.inquiry.ask(1, "?"), heard.inquiry.ask(2, "?")
    heard.hear("verification.accepted", request_id=accepted.requests[0])
    heard.inquiry.turn()
    for query in (refused, accepted):
        heard.hear("verification.rejected", request_id=query.requests[0], reason="queue_full")
    heard.inquiry.turn()
    assert (refused.refused, accepted.refused) == ("queue_full", "")
    assert (refused.ended, accepted.ended) == (True, False)


def test_a_query_that_nobody_answers_is_asked_again(heard: Heard) -> None:
    """With the same id and another sequence count, as ground does."""
    query = heard.inquiry.ask(1, "?")
    until = time.monotonic() + 30
    assert heard.inquiry.follow(lambda: len(query.requests) >= 3, until)
    assert len(set(query.requests)) == len(query.requests)
    assert not heard.inquiry.follow(lambda: False, time.monotonic())
