"""How a query ends short of its answer: refused, failed, cancelled, expired."""

from __future__ import annotations

import pytest

from ground.legs import Leg
from ground.question import Question
from ground.record import Evidence, Record
from ground.station.story import Story
from ground.station.texts import Texts
from tests.ground.sky import Sky, plan


def test_a_refusal_ends_the_query_with_its_reason() -> None:
    """(1,2) is REJECTED with the name of the reason."""
    sky = Sky()
    sky.craft.refuse = "safe_mode"
    record = sky.ask()
    sky.run()
    assert (record.leg, record.reason, record.closed) == (Leg.REJECTED, "safe_mode", True)


def test_a_late_refusal_of_one_repeat_does_not_undo_the_acceptance_of_another() -> None:
    """The queue was full for the first repeat and free for the second; the refusal comes late."""
    sky = Sky(down=["late"])
    sky.craft.refuse = "queue_full"
    record = sky.ask()
    sky.run(0.5)
    sky.craft.refuse = ""
    sky.run()
    assert record.leg is Leg.DELIVERED


@pytest.mark.parametrize("lost", [0, 1])
def test_an_acceptance_after_a_refusal_revives_the_query(lost: int) -> None:
    """The queue was full for the first repeat and free for the second; the answer is fetched all the same.

    Also when the acceptance itself is lost: the station asks once more before it lets a refused query go.
    """
    sky = Sky()
    sky.run(1.0)
    sky.craft.refuse = "queue_full"
    sky._fates["down"] = iter(["late"] + ["lost"] * lost * 4)
    record = sky.ask()
    sky.run(0.5)
    sky.craft.refuse = ""
    sky.craft.prefill_s = 10.0
    sky.run(2.3)
    assert record.leg is (Leg.REJECTED if lost else Leg.PREFILL)
    assert record.uplinks >= 2
    sky.run()
    assert record.leg is Leg.DELIVERED
    assert record.closed


def test_a_revived_query_stands_where_its_evidence_says() -> None:
    """The journal was lost while its answer came down, a repeat refused and the next accepted: no leg without proof."""
    record = Record(query_id=7, asked=Question("Which vessels are dark?"), created=1.0)
    for time, leg in enumerate((Leg.QUEUED, Leg.ACCEPTED, Leg.ONBOARD_DONE, Leg.DOWNLINKING, Leg.REJECTED), 1):
        record.mark(leg, Evidence(time=time, received=time))
    record.on_board = False
    Story(record, Texts()).arrived()
    assert (record.leg, record.closed, Leg.REJECTED in record.evidence) == (Leg.DOWNLINKING, False, False)


def test_a_failure_on_board_ends_the_query_with_its_reason_and_frees_it() -> None:
    """(1,8) and the receipt: FAILED(reason), and the spacecraft may forget it."""
    sky = Sky()
    sky.craft.fail = "engine_failed"
    record = sky.ask()
    sky.run()
    assert (record.leg, record.reason, record.closed) == (Leg.FAILED, "engine_failed", True)
    assert record.receipt is not None
    assert not sky.craft.queries


def test_a_receipt_for_another_question_is_never_delivered() -> None:
    """The question's hash in the receipt is compared, not only the answer's."""
    sky = Sky()
    record = sky.ask()
    sky.run(5.0, until=lambda: bool(sky.craft.queries))
    sky.craft.queries[record.query_id].args = {**sky.craft.queries[record.query_id].args, "question": b"another"}
    sky.run()
    assert (record.leg, record.reason) == (Leg.FAILED, "question_hash_mismatch")


def test_a_cancelled_query_that_never_left_ends_on_the_ground() -> None:
    """Out of contact, nothing need be sent to cancel what was never sent."""
    sky = Sky(plan=plan((60.0, 120.0)))
    record = sky.ask()
    sky.run(1.0)
    assert sky.station.cancel(record.query_id, sky.now)
    sky.run(1.0)
    assert (record.leg, record.uplinks, record.closed) == (Leg.CANCELLED, 0, True)


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_cancel_stops_a_running_query_on_board(lost: int) -> None:
    """The cancel is repeated until it is answered, and the receipt says how it ended."""
    sky = Sky()
    sky.craft.prefill_s = 60.0
    record = sky.ask()
    sky.run(5.0)
    sky._fates["up"] = iter(["lost"] * lost)
    assert sky.station.cancel(record.query_id, sky.now)
    sky.run()
    assert (record.leg, record.closed) == (Leg.CANCELLED, True)
    assert record.receipt is not None
    assert record.receipt["outcome"] == "cancelled"


def test_cancelling_a_question_that_the_spacecraft_never_heard_ends_it() -> None:
    """The question was lost on its way: the refusal of the cancel says so."""
    sky = Sky(up=["good", "good", "lost", "lost"])
    sky.run(1.0)
    sky._fates["up"] = iter(["lost"])
    record = sky.ask()
    sky.run(0.2)
    assert record.uplinks == 1
    sky.station.cancel(record.query_id, sky.now)
    sky.run()
    assert (record.leg, record.reason) == (Leg.CANCELLED, "cancelled")
    assert not sky.craft.runs


def test_a_question_that_arrives_after_its_cancel_is_cancelled_then() -> None:
    """The first repeat was held back on its way: nothing is left running on board."""
    sky = Sky()
    sky.run(1.0)
    sky.craft.prefill_s = 30.0
    sky._fates["up"] = iter(["late"])
    record = sky.ask()
    sky.run(0.2)
    sky.station.cancel(record.query_id, sky.now)
    sky.run(1.4)
    assert (record.leg, record.closed) == (Leg.CANCELLED, False)
    sky.run(600.0, until=lambda: record.closed and record.query_id in sky.craft.queries)
    sky.run(60.0, until=lambda: bool(sky.station.strays))
    assert sky.station.strays == {record.query_id}
    sky.station.revive(record, sky.now)
    sky.run()
    assert record.closed
    assert sky.craft.tombstones == {record.query_id}


def test_a_question_expires_on_the_ground_when_it_never_left() -> None:
    """ttl_s counts from the moment it was asked, in mission time."""
    sky = Sky(plan=plan((60.0, 120.0)))
    record = sky.ask(ttl_s=30)
    sky.run(29.0)
    assert record.leg is Leg.QUEUED
    sky.run(2.0)
    assert (record.leg, record.closed) == (Leg.EXPIRED, True)


def test_a_question_that_is_too_late_is_not_sent_again_but_asked_about() -> None:
    """Nothing was heard in time: a report settles whether it is on board, and it ends as EXPIRED."""
    sky = Sky()
    sky.run(1.0)
    sky._fates["up"] = iter(["lost"] * 5)
    record = sky.ask(ttl_s=4)
    sky.run()
    assert (record.leg, record.closed) == (Leg.EXPIRED, True)
    assert "inference.ask" not in sky.craft.commands
    assert "inference.report" in sky.craft.commands
