"""The conversation with the spacecraft, whatever the link does to it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ground.api.view import query_view
from ground.archive.rows import row_of
from ground.legs import Leg, Verdict
from ground.record import Record
from ground.station.station import Station
from spacelink import DICTIONARY, Contact, ContactPlan, pack_report
from spacelink.fields import INTEGERS, Field
from spacelink.packets import build_telemetry
from tests.ground.double import plain_answer
from tests.ground.sky import EPOCH, Sky

FATES = st.lists(st.sampled_from(["good", "good", "lost", "doubled", "late"]), max_size=120)


def plan(*windows: tuple[float, float]) -> ContactPlan:
    return ContactPlan(tuple(Contact(n, 1, 2, a, b, 64_000, 0.01) for n, (a, b) in enumerate(windows)), EPOCH)


def test_a_question_goes_through_its_legs_and_is_delivered_whole() -> None:
    """On a perfect link every leg has its evidence, in order, and the spacecraft may free the answer."""
    sky = Sky()
    record = sky.ask("How many vessels?", scene="latest")
    sky.run()
    assert record.leg is Leg.DELIVERED
    assert record.verdict is Verdict.UNCHECKED
    assert record.answer == plain_answer(b"How many vessels?").decode()
    assert list(record.evidence) == [
        Leg.QUEUED, Leg.ACCEPTED, Leg.PREFILL, Leg.DECODE, Leg.ONBOARD_DONE, Leg.DELIVERED,
    ]  # fmt: skip
    times = [proof.time for proof in record.evidence.values()]
    assert times == sorted(times)
    assert record.uplinks == 1
    assert record.closed
    assert sky.craft.tombstones == {record.query_id}


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(up=FATES, down=FATES, texts=st.lists(st.text(min_size=1, max_size=40).filter(str.strip), min_size=1, max_size=4))
def test_whatever_is_lost_doubled_or_late_every_query_ends_delivered_and_is_run_once(
    up: list, down: list, texts: list[str]
) -> None:
    """Any fates of the packets in both directions: bytes equal, run once, released."""
    sky = Sky(up=up, down=down)
    records = [sky.ask(text) for text in texts]
    sky.run()
    for record, text in zip(records, texts, strict=True):
        assert record.leg is Leg.DELIVERED
        assert record.answer.encode() == plain_answer(text.encode())
        assert sky.craft.runs[record.query_id] == 1
        times = [proof.time for proof in record.evidence.values()]
        assert times == sorted(times)
    assert sky.craft.tombstones == {record.query_id for record in records}
    assert not sky.station.sessions


def test_an_answer_cut_by_los_is_resumed_at_the_next_aos_and_not_repeated() -> None:
    """LOS in the middle of the answer: the rest comes in the next pass, from the same run."""
    sky = Sky(plan=plan((0.0, 0.12), (100.0, 130.0)))
    record = sky.ask()
    sky.run(50.0)
    assert record.leg is Leg.DECODE
    assert not sky.station.sky(sky.now).in_contact
    had = record.segments_have
    assert 0 < had < 5
    sky.run()
    assert record.leg is Leg.DELIVERED
    assert record.evidence[Leg.DELIVERED].time >= EPOCH + 100
    assert sky.craft.runs[record.query_id] == 1


def test_nothing_is_sent_before_aos() -> None:
    """A question asked out of contact waits."""
    sky = Sky(plan=plan((60.0, 120.0)))
    record = sky.ask()
    sky.run(59.0)
    assert record.uplinks == 0
    assert record.leg is Leg.QUEUED
    sky.run()
    assert record.leg is Leg.DELIVERED


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


def test_a_failure_on_board_ends_the_query_with_its_reason_and_frees_it() -> None:
    """(1,8) and the receipt: FAILED(reason), and the spacecraft may forget it."""
    sky = Sky()
    sky.craft.fail = "engine_failed"
    record = sky.ask()
    sky.run()
    assert (record.leg, record.reason, record.closed) == (Leg.FAILED, "engine_failed", True)
    assert record.receipt is not None
    assert not sky.craft.queries


def test_the_thinking_text_is_kept_apart() -> None:
    """Both texts must be whole before the query is delivered."""
    sky = Sky(down=["good"] * 5 + ["lost"] * 2)
    record = sky.ask(thinking=True)
    sky.run()
    assert record.leg is Leg.DELIVERED
    assert record.thinking == "Let me think. " * 8
    assert record.answer.startswith("You asked")


@settings(max_examples=30, deadline=None)
@given(down=FATES)
def test_a_text_made_again_voids_what_came_of_the_one_before(down: list) -> None:
    """Segments of an older attempt never reach the answer, in whatever order they come."""
    sky = Sky(down=down)
    sky.craft.other_text_after = 3
    record = sky.ask()
    story = sky.station.sessions[record.query_id].story
    sky.run()
    assert record.leg is Leg.DELIVERED
    assert story.mismatches == 0
    assert record.answer.encode() == plain_answer(b"Which vessels are dark?")


def test_a_spacecraft_that_lost_its_journal_is_asked_again() -> None:
    """An accepted query that is unknown on board is asked anew, and the old segments are void."""
    sky = Sky()
    record = sky.ask()
    sky.run(10.0, until=lambda: record.segments_have >= 2)
    sky.craft.queries.clear()
    sky.craft._agenda.clear()
    sky.craft._busy_until = 0
    sky.run()
    assert record.leg is Leg.DELIVERED
    assert record.uplinks == 2


def test_a_receipt_for_another_question_is_never_delivered() -> None:
    """The question's hash in the receipt is compared, not only the answer's."""
    sky = Sky()
    record = sky.ask()
    sky.run(5.0, until=lambda: bool(sky.craft.queries))
    sky.craft.queries[record.query_id].args = {**sky.craft.queries[record.query_id].args, "question": b"another"}
    sky.run()
    assert (record.leg, record.reason) == (Leg.FAILED, "question_hash_mismatch")


def test_an_answer_that_does_not_fit_its_hash_is_never_delivered() -> None:
    """A text that was changed under a right CRC is fetched again until it fits."""
    sky = Sky()
    record = sky.ask()
    real = sky.craft._segment
    spoilt = []

    def spoil(query_id: int, kept: object, kind: str, number: int, data: bytes) -> None:
        if number == 1 and len(spoilt) < 3:
            spoilt.append(number)
            data = data[:-1] + b"?"
        real(query_id, kept, kind, number, data)  # type: ignore[arg-type]

    sky.craft._segment = spoil  # type: ignore[method-assign]
    sky.run()
    assert len(spoilt) == 3
    assert record.leg is Leg.DELIVERED
    assert record.answer.encode() == plain_answer(b"Which vessels are dark?")


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


def test_no_more_questions_are_on_board_than_the_window_allows() -> None:
    """A hundred questions at AOS do not fill the spacecraft's queue."""
    sky = Sky(window=5)
    sky.craft.queue_length = 5
    records = [sky.ask(f"Question {n}?") for n in range(40)]
    sky.run()
    assert {record.leg for record in records} == {Leg.DELIVERED}


def test_a_new_session_from_the_record_goes_on_where_the_old_one_stood() -> None:
    """All that matters is in the record and the segments: a restart of the ground repeats no run."""
    sky = Sky()
    record = sky.ask()
    sky.run(10.0, until=lambda: record.segments_have >= 2)
    parts = [part for each in sky.station.take().parts.values() for part in each]
    sky.station = Station(sky.contacts, sky.timing, window=12, sequence=64)
    sky.station.submit(record, sky.now, parts)
    assert record.segments_have >= 2
    sky.run()
    assert record.leg is Leg.DELIVERED
    assert sky.craft.runs[record.query_id] == 1
    assert record.uplinks == 1


def test_a_packet_that_is_damaged_or_of_no_query_is_counted() -> None:
    """Nothing that arrives raises."""
    sky = Sky()
    sky.station.receive([b"", b"x" * 40, bytes(200)], sky.now)
    assert sum(n for name, n in sky.station.counters.items() if name.startswith("refused_")) == 3


REPORTS = sorted(DICTIONARY.reports)


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from([*REPORTS, "event"]), data=st.binary(max_size=300), seq=st.integers(0, 99))
def test_no_content_of_a_packet_with_a_right_checksum_upsets_the_station(name: str, data: bytes, seq: int) -> None:
    """Fuzz behind the checksum: whatever fields say, nothing is raised, and what is kept can be written as JSON."""
    sky = Sky()
    record = sky.ask()
    sky.run(0.05)
    if name == "event":
        packet = build_telemetry(5, 1 + seq % 4, data, seq, EPOCH)
    else:
        entry = DICTIONARY.reports[name]
        head = record.query_id.to_bytes(8, "big") if entry.service == 130 else b""
        head = bytes.fromhex(record.request_ids[0][0]) if entry.service == 1 else head
        packet = build_telemetry(entry.service, entry.subtype, head + data, seq, EPOCH)
    sky.station.receive([packet], sky.now)
    batch = sky.station.take()
    for each in batch.records.values():
        json.dumps(row_of(each), allow_nan=False)
    json.dumps([event.args for event in batch.events], allow_nan=False)
    sky.station.wake(sky.now)


def extreme(field: Field) -> st.SearchStrategy[object]:
    """Values at the edges of what a field can carry."""
    if field.choices:
        return st.sampled_from(sorted(field.choices.values()))
    if field.type in INTEGERS:
        least = max(int(field.minimum or 0), 0)
        most = min(2 ** int(field.type[1:]) - 1, field.maximum or math.inf)
        return st.sampled_from([least, least + 1, int(most)])
    if field.type == "list":
        return st.just([])
    if field.type == "hash32":
        return st.sampled_from([bytes(32), b"\xff" * 32])
    texts = {
        "str8": ["", "x"],
        "bool": [True, False],
        "f32": [0.0, -1.0, math.nan, math.inf],
        "rest": [b"\xff", b"x" * 64],
    }
    return st.sampled_from(texts[field.type])


@st.composite
def extreme_reports(draw: st.DrawFn, record: Record) -> bytes:
    """A well-formed report of service 130 with values at the edges."""
    entry = DICTIONARY.reports[draw(st.sampled_from([name for name in REPORTS if name.startswith("inference.")]))]
    # The right id and the right question: else nothing after the first look would be tried.
    known = {"query_id": record.query_id, "question_sha256": record.asked.sha256}
    args = {field.name: known.get(field.name) or draw(extreme(field)) for field in entry.fields}
    return pack_report(entry.name, args, seq=0, time=draw(st.sampled_from([0.0, EPOCH, EPOCH + 1e9])))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_series_of_reports_at_the_edges_upsets_the_station(data: st.DataObject) -> None:
    """Contradicting, absurd or mistimed reports: nothing is raised, all can be stored, shown and answered."""
    sky = Sky()
    record = sky.ask()
    for packet in data.draw(st.lists(extreme_reports(record), max_size=8)):
        sky.station.receive([packet], sky.now)
        while (out := sky.station.command(sky.now)) is not None:
            sky.station.sent(out, 100)
        assert sky.station.wake(sky.now) > sky.time
        json.dumps(row_of(record), allow_nan=False)
        view = query_view(record, sky.now, in_contact=True)
        json.dumps(view.model_dump(), allow_nan=False)
        assert all(seconds >= 0 for seconds in view.legs.values())
        sky.time += 3.0


def test_telemetry_events_and_scenes_go_to_the_archive() -> None:
    """What belongs to no query is kept too."""
    sky = Sky()
    sky.run(1.0)
    sky.craft.event("core.noop", version="1", dictionary="abc")
    sky.run(1.0)
    batch = sky.station.take()
    assert {sample.channel: sample.value for sample in batch.samples}["CPU_T"] == 41.5
    assert [event.text for event in batch.events] == ["OrbitLM flight software 1, dictionary abc."]
    assert sky.station.scenes == [{"name": "harbour-17", "bytes": 210, "sha256": b"12345678".hex()}]


def test_a_gap_in_an_answer_still_being_written_is_filled_before_its_end() -> None:
    """Who reads along does not wait for the receipt to get a segment that was lost."""
    sky = Sky()
    sky.run(1.0)
    sky.craft.segment_s = 2.0
    record = sky.ask()
    real = sky.craft._segment
    lost: list[int] = []

    def lose(query_id: int, kept: object, kind: str, number: int, data: bytes) -> None:
        if number == 1 and not lost:
            lost.append(number)
        else:
            real(query_id, kept, kind, number, data)  # type: ignore[arg-type]

    sky.craft._segment = lose  # type: ignore[method-assign]
    sky.run(7.0)
    assert record.leg is Leg.DECODE
    assert record.segments_have == 4
    assert "inference.resend" in sky.craft.commands
    assert len(record.answer.encode()) > 64 * 3


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


def test_at_aos_every_open_query_is_asked_about_at_once() -> None:
    """The pauses that had grown long before LOS are forgotten."""
    sky = Sky(plan=plan((0.0, 60.0), (61.0, 100.0)))
    sky._fates["up"] = iter(["lost"] * 100)
    record = sky.ask()
    sky.run(60.5)
    assert not record.on_board
    sky._fates["up"] = iter([])
    sky.run(0.6)
    assert record.on_board


def test_sequence_counts_are_reserved_in_the_archive_before_they_are_used() -> None:
    """After a restart no request id means two commands, whenever the station died."""
    sky = Sky()
    used: list[int] = []
    reserved = 0
    for _ in range(3):
        for _ in range(70):
            sky.station.look(sky.now)
            out = sky.station.command(sky.now)
            batch = sky.station.take()
            if "sequence" in batch.facts:
                assert batch.durable
                reserved = batch.facts["sequence"]["next"]
            sky.station._chores.done("inference.list_scenes")
            sky.station._chores.done("health.request")
            assert out is not None
            used.append(int.from_bytes(out.packet[2:4], "big") & 0x3FFF)
        sky.station = Station(sky.contacts, sky.timing, window=12, sequence=reserved)
    assert len(set(used)) == len(used) == 210


def test_the_uplink_is_taken_by_one_command_at_a_time_in_the_order_they_fell_due() -> None:
    """The station hands out one command for each call, the oldest claim first."""
    sky = Sky()
    sky.run(1.0)
    records = []
    for n in range(3):
        records.append(sky.ask(f"Question {n}?"))
        sky.time += 0.01
    outs = [sky.station.command(sky.now) for _ in range(4)]
    assert [out.query_id for out in outs if out] == [record.query_id for record in records]
