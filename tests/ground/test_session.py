"""The conversation with the spacecraft, whatever the link does to it."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ground.legs import Leg, Verdict
from ground.station.station import Station
from tests.ground.double import plain_answer
from tests.ground.sky import EPOCH, Sky, plan

FATES = st.lists(st.sampled_from(["good", "good", "lost", "doubled", "late"]), max_size=120)


def test_a_question_goes_through_its_legs_and_is_delivered_whole() -> None:
    """On a perfect link every leg has its evidence, in order, and the spacecraft may free the answer."""
    sky = Sky()
    record = sky.ask("How many vessels?", scene="latest")
    sky.run()
    assert record.leg is Leg.DELIVERED
    assert record.verdict is Verdict.VERIFIED
    assert record.answer == plain_answer(b"How many vessels?").decode()
    assert list(record.evidence) == [
        Leg.QUEUED, Leg.ACCEPTED, Leg.PREFILL, Leg.DECODE, Leg.CHECKING, Leg.ONBOARD_DONE, Leg.DELIVERED,
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
    sky.run()
    assert record.leg is Leg.DELIVERED
    assert sky.station.counters["texts_mismatched"] == 0
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
    assert sky.station.counters["texts_mismatched"] > 0
    assert record.leg is Leg.DELIVERED
    assert record.answer.encode() == plain_answer(b"Which vessels are dark?")


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
