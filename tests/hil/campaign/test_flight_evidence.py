"""A trial with several queries is told by the one that went worst."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from hil.campaign.flight_evidence import Disturbance, Loss, evidence_of
from hil.campaign.inquiry import Inquiry, Query
from hil.campaign.outcome import Evidence, Outcome, judge
from hil.campaign.question import Golden, Question
from hil.telecommander import Telecommander
from spacelink import Report

QUESTION = Question("q", "vessels", "", "Which vessels are dark?", facts=("Dark 1: V42.",))
GOLDEN = Golden("q", (0,) * 8, 20, "Dark 1: V42.", "", "", "eos", 1)
EXPECTED = {1: GOLDEN.text, 2: "3 vessels."}


class Case:
    """Two queries of one trial, and what flight told."""

    def __init__(self) -> None:
        self.link = Telecommander()
        self.inquiry = Inquiry(self.link)
        self.main, self.other = (self.inquiry.expect(number, "?") for number in (1, 2))
        self.at = time.monotonic()

    def answer(self, query: Query, text: str = "", verdict: str = "verified", outcome: str = "done") -> None:
        """How a query ended."""
        query.text = text or EXPECTED[query.id]
        why = "scene_invalid" if outcome == "failed" else "none"
        known = {"query_id": query.id, "outcome": outcome, "verdict": verdict, "reason": why, "rounds": 1}
        query.receipt = {**known, "verdict_reason": "gate_disagrees" if verdict == "unverified" else "none"}

    def event(self, name: str, **args: Any) -> None:
        """Flight tells something."""
        self.link.reports.append(Report("event", 5, 1, {"event": name, "args": args}, 0.0, 0))
        self.link.arrivals.append(self.at + 0.5)

    def evidence(self, **known: Any) -> Evidence:
        struck = Disturbance(self.at, "crash", "engine")
        return evidence_of(self.inquiry, self.main, EXPECTED, self.link, struck, gated=True, **known)

    def outcome(self, **known: Any) -> Outcome:
        return judge(self.evidence(**known), QUESTION, GOLDEN).outcome


@pytest.fixture
def case() -> Iterator[Case]:
    one = Case()
    one.answer(one.main)
    one.answer(one.other)
    yield one
    one.link.close()


def test_all_right_and_nothing_told_is_masked(case: Case) -> None:
    assert case.outcome() is Outcome.MASKED_IDENTICAL


def test_a_wrong_verified_answer_is_silent_even_when_the_trial_asked_for_another(case: Case) -> None:
    """Each of the two queries can make the row silent; a flagged one makes it refused."""
    case.answer(case.other, "4 vessels.")
    assert case.outcome() is Outcome.SILENT
    case.answer(case.other, "4 vessels.", verdict="unverified")
    assert case.outcome() is Outcome.REFUSED
    case.answer(case.other)
    case.answer(case.main, "Dark 1: V5.")
    assert case.outcome() is Outcome.SILENT


@pytest.mark.parametrize("text", ["", "Dark 1: V4", GOLDEN.text])
def test_a_query_that_failed_gave_no_answer_whatever_text_came_of_it(case: Case, text: str) -> None:
    case.answer(case.main, outcome="failed")
    case.main.text = text
    assert case.outcome() is Outcome.REFUSED


def test_why_there_is_no_answer_is_told_by_name(case: Case) -> None:
    """A receipt has two reasons: why it ended so, and why its verdict is what it is."""
    case.answer(case.main, verdict="unverified")
    assert case.evidence().reason == "gate_disagrees"
    case.answer(case.main, verdict="unchecked", outcome="failed")
    assert (case.outcome(), case.evidence().reason) == (Outcome.REFUSED, "scene_invalid")


def test_a_lost_or_doubled_query_outweighs_everything_but_a_silent_answer(case: Case) -> None:
    """Whatever else the other one says."""
    case.other.receipt = case.other.text = None
    assert case.outcome() is Outcome.UNRECOVERABLE
    case.answer(case.other)
    assert case.outcome(doubled=True) is Outcome.UNRECOVERABLE
    assert case.outcome(dead=True) is Outcome.UNRECOVERABLE
    case.answer(case.main, "Dark 1: V5.")
    assert case.outcome(dead=True) is Outcome.SILENT
    case.other.receipt = case.other.text = None
    assert case.outcome() is Outcome.SILENT


def test_the_supervisor_tells_of_losses_and_the_launcher_of_the_supervisors(case: Case) -> None:
    """A loss is told with the time from the fault to the news; that of the supervisor itself only the bench sees."""
    case.event("supervisor.child_restarted", child="engine", why="hung", exit=-9)
    evidence = case.evidence(replaced=Loss("supervisor", "crash", 0.0))
    assert (evidence.hung, evidence.crashed) == (("engine",), ("supervisor",))
    assert evidence.detections[0].by == "hang"
    assert evidence.detections[0].seconds == pytest.approx(0.5)
    assert case.outcome() is Outcome.HANG_RECOVERED


def test_damage_that_flight_tells_of_is_a_detection(case: Case) -> None:
    """By the part that was damaged, with the rung that repaired it."""
    case.event("integrity.damage_found", part="image", page=3, outcome="bit", bits=1, place="blk.0")
    case.event("store.rows_mended", file="journal.sqlite", rows=1)
    found = case.evidence().detections
    assert [(one.by, one.outcome, one.bits) for one in found] == [("pages", "bit", 1), ("storage", "copy", 0)]
    assert case.outcome() is Outcome.CORRECTED


def test_what_was_refused_is_not_told_as_answered_after_it_was_put_right(case: Case) -> None:
    """The answers that came later only show that no query was lost."""
    evidence = case.evidence(refused="the model file is damaged in blk.1.attn_q.weight")
    assert evidence.answer is None
    assert "blk.1.attn_q.weight" in evidence.reason
    assert case.outcome(refused="damaged") is Outcome.REFUSED
    case.answer(case.main, "Dark 1: V5.")
    assert case.outcome(refused="damaged") is Outcome.SILENT
