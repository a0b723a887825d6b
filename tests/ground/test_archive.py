"""What is written is read back, bounded, and whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ground.archive import Archive, Batch, EventEntry, Sample
from ground.errors import ArchiveError, QueryAmbiguous, QueryNotFound, SettingsRefused
from ground.legs import Leg, Verdict
from ground.question import Question
from ground.record import Evidence, Record
from ground.settings import ArchiveSettings
from ground.station.parts import Part


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    settings = ArchiveSettings.model_validate({"telemetry_rows": 1000})
    with closing(Archive(f"sqlite:///{tmp_path}/archive.sqlite", settings)) as opened:
        yield opened


def full_record(query_id: int = 2**64 - 1) -> Record:
    record = Record(query_id, Question("Wie groß?", scene="latest", seed=7), 100.5)
    record.mark(Leg.QUEUED, Evidence(100.5, 100.5))
    record.mark(Leg.ACCEPTED, Evidence(101.0, 101.2, "verification.accepted", 1, 1, 3, 101.0))
    record.verdict = Verdict.UNCHECKED
    record.request_ids = [("1864c000", "inference.ask")]
    record.receipt = {"model": "cadet", "energy_j": None, "answer_sha256": "00"}
    record.answer = "groß 🛰"
    return record


def test_a_record_is_read_back_as_it_was(archive: Archive) -> None:
    """Every field, also ids above 2**63."""
    record = full_record()
    archive.write(Batch(records={record.query_id: record}, durable=True))
    assert archive.query(record.query_id) == record
    assert archive.open_queries() == [(record, [])]


def test_segments_are_kept_until_the_query_is_closed(archive: Archive) -> None:
    """A restart needs them; afterwards the answer stands in the record."""
    record = full_record()
    part = Part(0, 3, 1, b"\xc3")
    archive.write(Batch(records={record.query_id: record}, parts={record.query_id: [part]}))
    archive.write(Batch(parts={record.query_id: [part]}))
    assert archive.open_queries()[0][1] == [part]
    record.closed = True
    archive.write(Batch(records={record.query_id: record}))
    record.closed = False
    archive.write(Batch(records={record.query_id: record}))
    assert archive.open_queries()[0][1] == []


def test_an_id_is_found_by_a_beginning_that_only_it_has(archive: Archive) -> None:
    """A unique prefix is enough; others are refused with a sentence."""
    for query_id in (0xAB00000000000001, 0xAB10000000000002):
        archive.write(Batch(records={query_id: full_record(query_id)}))
    assert archive.find("AB0") == 0xAB00000000000001
    with pytest.raises(QueryAmbiguous):
        archive.find("ab")
    for unknown in ("ff", "", "xyz", "ab%", "a" * 17):
        with pytest.raises(QueryNotFound):
            archive.find(unknown)


def test_telemetry_is_bounded_and_the_oldest_goes_first(archive: Archive) -> None:
    """The bound holds within the rows between two looks."""
    for start in range(0, 12_000, 1000):
        archive.write(Batch(samples=[Sample("CPU_T", float(n), float(n)) for n in range(start, start + 1000)]))
    kept = archive.history("CPU_T", None, None, 100_000)
    assert kept[-1]["value"] == 11_999
    assert kept[0]["value"] >= 5_000
    assert archive.latest(["CPU_T", "GPU_T"]) == [
        {"channel": "CPU_T", "time": 11_999.0, "value": 11_999.0, "text": None}
    ]
    assert [row["value"] for row in archive.history("CPU_T", 11_900, 11_902, 10)] == [11_900, 11_901, 11_902]


def test_events_come_newest_first_and_by_severity(archive: Archive) -> None:
    """Filters are those of the API."""
    for n, severity in enumerate(["low", "high", "low"]):
        archive.write(Batch(events=[EventEntry(n, n, "flight", "core.noop", severity, f"event {n}", {"n": n})]))
    assert [event["text"] for event in archive.events(10)] == ["event 2", "event 1", "event 0"]
    assert [event["text"] for event in archive.events(10, ["high"])] == ["event 1"]
    assert [event["text"] for event in archive.events(10, since_id=2)] == ["event 2"]


def test_a_batch_adds_what_came_after() -> None:
    """What could not be written is written with the next: later records win, void segments stay void."""
    old, new = (
        Batch(parts={1: [Part(0, 0, 1, b"a")]}),
        Batch(dropped={1}, parts={1: [Part(0, 0, 2, b"b")]}, durable=True),
    )
    old.add(new)
    assert old.parts == {1: [Part(0, 0, 2, b"b")]}
    assert old.durable


def test_an_archive_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    """A folder that is not there, a file that is no database, an address that is none."""
    with pytest.raises(ArchiveError, match="cannot be"):
        Archive(f"sqlite:///{tmp_path}/nowhere/archive.sqlite")
    (tmp_path / "text").write_text("not a database " * 100)
    with pytest.raises(ArchiveError, match="cannot be"):
        Archive(f"sqlite:///{tmp_path}/text")
    for url in ("nonsense", "nosuch://x"):
        with pytest.raises(SettingsRefused, match=r"archive\.url"):
            Archive(url)
