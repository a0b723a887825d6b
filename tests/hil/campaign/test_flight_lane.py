"""Campaigns through whole flight processes, in the small: crash, hang, storage, link, clock, weights.

Each protection that the rows rest on is switched off once, and then the row says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.campaign.flightlane import FlightLane
from hil.campaign.lane import Arm, Setup, Trial
from hil.campaign.outcome import Outcome
from hil.campaign.question import Golden, Question
from hil.campaign.row import Row, make_row
from hil.faults import Fault, Instant, Subject, draw
from hil.faults.places import SignalPlace
from models import cadet_path

pytestmark = pytest.mark.slow

PROTECTED = Arm("protected")
BARE = Arm("bare", {"integrity": {"pages": False, "replay": False}}, "none")
ONE_SLOT = Arm("one-slot", {"integrity": {"other_slot": False}})
SCENE = """\
VESSELS
V5 AIS ON pos 29.04N 3.53W hdg 256 spd 1.9 len 395
V42 AIS OFF pos 13.95S 1.23W hdg 351 spd 19.9 len 111"""
QUESTION = Question("dark", "vessels", "", "Which vessels are dark?", SCENE, facts=("Dark 1: V42.",))
RECOVERED = (Outcome.CRASH_RECOVERED, Outcome.HANG_RECOVERED)


class Drills:
    """A lane and one question, of which every answer must be the golden one."""

    def __init__(self, folder: Path, arms: tuple[Arm, ...], deadline_s: float, options: dict[str, Any]) -> None:
        self.lane = FlightLane(Setup(cadet_path(), folder, arms, 16, deadline_s, options))
        self.golden: Golden | None = None
        self._trials = 0

    def row(self, fault: Fault | None, arm: Arm = PROTECTED, seed: int = 1) -> Row:
        """One trial."""
        self.golden = self.golden or self.lane.golden(QUESTION)
        self._trials += 1
        text = fault.to_json() if fault else ""
        trial = Trial(self._trials, "test", fault, text, QUESTION, self.golden, seed)
        return make_row(trial, arm, "flight", self.lane.run(trial, arm))

    def drawn(self, target: str, where: dict[str, Any], at: str = "now", seed: int = 1) -> Fault:
        """A fault by chance, with an answer of a usual length."""
        return draw(target, Subject(cadet_path(), tokens=(0,) * 12), seed=seed, where=where, at=at)


Open = Callable[..., Drills]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Open lanes, which all end with the module."""
    made: list[Drills] = []

    def open_(*arms: Arm, deadline_s: float = 120.0, **options: Any) -> Drills:
        drills = Drills(tmp_path_factory.mktemp("lane"), arms, deadline_s, options)
        made.append(drills)
        return drills

    yield open_
    for drills in made:
        drills.lane.__exit__(None, None, None)


@pytest.fixture(scope="module")
def drills(opened: Open) -> Drills:
    """Flight as it is, bare, and without another model."""
    return opened(PROTECTED, BARE, ONE_SLOT, hang_s=4.0, watchdog_s=6.0)


def taken_away(process: str, signal: str, point: str) -> Fault:
    """The end, or the standstill, of a process."""
    place = SignalPlace.model_validate({"process": process, "signal": signal})
    return Fault("hang" if signal == "SIGSTOP" else "crash", place, at=Instant(point, token=2))


@pytest.mark.parametrize(
    ("process", "signal", "point"),
    [
        ("supervisor", "SIGKILL", "token"),
        ("core", "SIGKILL", "check"),
        ("engine", "SIGSEGV", "token"),
        ("verifier", "SIGKILL", "check"),
        ("scrubber", "SIGKILL", "now"),
        ("engine", "SIGSTOP", "token"),
        ("verifier", "SIGSTOP", "now"),
        ("supervisor", "SIGSTOP", "released"),
    ],
)
def test_whichever_process_is_lost_both_queries_are_answered_once(
    drills: Drills, process: str, signal: str, point: str
) -> None:
    """With the golden text, VERIFIED; and another process does the work of the one that was hit."""
    row = drills.row(taken_away(process, signal, point))
    assert row.outcome in RECOVERED, row
    assert (row.same, row.verdict) == (True, "verified")
    assert process in (row.hung if signal == "SIGSTOP" else row.crashed).split()
    assert row.recovery_s > 0


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        (taken_away("supervisor", "SIGKILL", "token"), {"watchdog_s": 0.0}),
        (taken_away("engine", "SIGSTOP", "token"), {"hang_s": 600.0}),
    ],
)
def test_without_who_restarts_and_who_watches_the_query_is_lost(
    opened: Open, fault: Fault, options: dict[str, Any]
) -> None:
    """The launcher's restart and the hang limits are what the rows above rest on."""
    row = opened(PROTECTED, deadline_s=4.0, settle_s=0.5, **options).row(fault)
    assert row.outcome is Outcome.UNRECOVERABLE
    assert math.isnan(row.recovery_s)


@pytest.mark.parametrize(
    ("file", "kind", "seed"),
    [("model", "flip", 1), ("journal", "zeroed", 2), ("wal", "torn", 3), ("state", "flip", 4), ("codes", "torn", 5)],
)
def test_a_damaged_file_costs_no_query_and_changes_no_answer(drills: Drills, file: str, kind: str, seed: int) -> None:
    """Flight was killed or stopped with three queries on board; then the file was damaged, and flight started."""
    row = drills.row(drills.drawn("storage", {"files": file, "kinds": kind}, seed=seed), seed=seed)
    assert row.outcome not in (Outcome.SILENT, Outcome.UNRECOVERABLE, Outcome.REFUSED), row
    assert (row.same, row.verdict) == (True, "verified")


def test_without_the_other_slot_a_damaged_model_is_refused_by_name_and_nothing_is_lost(drills: Drills) -> None:
    """One slot alone: flight does not fly with it, says which tensor, and answers all once the file is put right."""
    subject = Subject(cadet_path())
    place = drills.drawn("weights", {"tensors": ["blk.2.ffn_up.weight"]}).place
    fault = drills.drawn("storage", {"files": "model", "kinds": "flip"})
    fault = Fault("storage", fault.place.model_copy(update={"offset": place.offset, "bit": place.bit}))  # type: ignore[attr-defined]
    assert subject.map.place(place.offset, place.bit).tensor == "blk.2.ffn_up.weight"  # type: ignore[attr-defined]
    row = drills.row(fault, ONE_SLOT)
    assert row.outcome is Outcome.REFUSED, row
    assert "blk.2.ffn_up.weight" in row.note


@pytest.mark.parametrize(
    ("kind", "at", "outcomes"),
    [
        ("full", "now", {Outcome.REFUSED}),
        ("full", "token", {Outcome.CRASH_RECOVERED}),
        ("read-error", "now", {Outcome.REFUSED}),
    ],
)
def test_a_disk_that_fails_is_told_by_name_and_loses_nothing(
    drills: Drills, kind: str, at: str, outcomes: set[Outcome]
) -> None:
    """The file calls of core fail while it works; what was accepted is answered once they do not."""
    row = drills.row(drills.drawn("storage", {"files": "all", "kinds": kind, "process": "core"}, at=at))
    assert row.outcome in outcomes, row
    assert row.activated, "no call has failed"
    assert row.reason or row.outcome is not Outcome.REFUSED


def test_a_failing_disk_that_nobody_uses_meanwhile_is_not_activated(drills: Drills) -> None:
    """The scrubber has read its codes long since."""
    row = drills.row(drills.drawn("storage", {"files": "codes", "kinds": "read-error", "process": "scrubber"}))
    assert (row.outcome, row.activated) == (Outcome.NOT_ACTIVATED, False), row


def test_a_bad_link_and_a_wrong_clock_delay_answers_and_change_none(opened: Open) -> None:
    """Bit errors, loss, copies and disorder in both directions, one frame hit on purpose; and a step of a day."""
    drills = opened(PROTECTED, link={"ber": 1e-4, "loss": 0.2, "duplicate": 0.1, "reorder": 0.1})
    row = drills.row(drills.drawn("link", {"direction": "up", "kinds": "lost"}))
    assert (row.outcome, row.detected_by) == (Outcome.CORRECTED, "link"), row
    row = drills.row(drills.drawn("clock", {"steps": 86_400.0}, "token"), seed=2)
    assert (row.same, row.verdict, row.activated) == (True, "verified", True), row


def test_a_flip_that_ruins_the_bare_answer_is_repaired_on_a_protected_flight(drills: Drills) -> None:
    """The same fault in both arms: silent where the protections are off by parameter, found and undone where not."""
    where = {"tensors": ["blk.*.ffn_up.weight"], "roles": ["scale"], "bits": [14]}
    fault = drills.drawn("weights", where, "start")
    bare, protected = drills.row(fault, BARE), drills.row(fault)
    assert (bare.outcome, bare.silent, bare.verdict) == (Outcome.SILENT, "task-wrong", "unchecked"), bare
    assert protected.outcome in (Outcome.CORRECTED, Outcome.RECOMPUTED), protected
    assert (protected.same, protected.verdict, protected.proven) == (True, "verified", "true")
    assert protected.changed == bare.changed


def test_a_query_that_was_given_up_is_not_booked_to_the_next_trial(opened: Open) -> None:
    """Logits that are never finite, and nothing that repairs: the query is still on board when its trial ends."""
    drills = opened(BARE, deadline_s=4.0, settle_s=2.0)
    where = {"tensors": ["blk.0.attn_norm.weight"], "bits": [30]}
    row = drills.row(drills.drawn("weights", where, "start"), BARE)
    assert (row.outcome, row.fate) == (Outcome.UNRECOVERABLE, "lost"), row
    assert drills.row(None, BARE).outcome is Outcome.CLEAN


def test_nothing_is_told_of_an_undisturbed_flight(drills: Drills) -> None:
    """No fault, no alarm."""
    assert drills.row(None).outcome is Outcome.CLEAN
