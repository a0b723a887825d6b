"""The journal keeps what was promised, whatever happens to the process or to the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.errors import JournalError
from flight.settings import StoreSettings
from flight.store import query as q
from flight.store.journal import Journal, copy_of
from flight.store.query import Query, digest_of, dump_json, load_json
from tests.flight.store.death import abandon

NOW = 1_800_000_000.0


def args(query_id: int, question: bytes = b"What?") -> dict[str, Any]:
    return {"query_id": query_id, "question": question, "temperature": 0.0, "scene": ""}


def accept(journal: Journal, query_id: int) -> Query:
    return journal.accept(args(query_id), digest_of(args(query_id)), b"\x18\x64\xc0\x01", NOW, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    abandon(journal)


def test_accepted_survives_the_death_of_the_process(journal: Journal, path: Path) -> None:
    accept(journal, 1)
    abandon(journal)
    again = Journal(path)
    assert [one.id for one in again.waiting()] == [1]
    found = again.find(1)
    assert found is not None
    assert (found.state, found.args, found.request_id) == (q.QUEUED, args(1), b"\x18\x64\xc0\x01")
    assert again.counters["accepted"] == 1
    again.close()


def test_ids_use_all_64_bits(journal: Journal) -> None:
    accept(journal, 2**64 - 1)
    found = journal.find(2**64 - 1)
    assert found is not None
    assert found.id == 2**64 - 1


def test_the_running_query_comes_before_the_queue(journal: Journal) -> None:
    first, second = accept(journal, 5), accept(journal, 3)
    journal.start(second, b"[]", b"\x00" * 32, None, NOW)
    assert [one.id for one in journal.waiting()] == [second.id, first.id]


def test_an_id_cannot_be_accepted_twice(journal: Journal) -> None:
    accept(journal, 1)
    with pytest.raises(JournalError):
        accept(journal, 1)
    assert journal.counters["accepted"] == 1
    accept(journal, 2)


def test_the_final_word_is_kept_whole(journal: Journal, path: Path) -> None:
    query = journal.start(accept(journal, 1), b"[]", b"\x01" * 32, b"HK\n", NOW)
    word = {"tokens": 3, "energy_j": None, "answer_sha256": b"\x02" * 32}
    journal.finish(query, q.DONE, "", NOW, answer=b"Three.", thinking=b"Hm.", prompt_sha256=b"\x03" * 32, receipt=word)
    abandon(journal)
    again = Journal(path)
    found = again.find(1)
    assert found is not None
    assert (found.answer, found.thinking, found.receipt, found.scene) == (b"Three.", b"Hm.", word, b"HK\n")
    assert again.waiting() == []
    assert again.counters["done"] == 1
    again.close()


def test_released_answers_are_freed_and_leave_tombstones(path: Path) -> None:
    """The newest stay for follow-up questions, older ones leave id and digest, and the oldest tombstones go."""
    journal = Journal(path, StoreSettings(released=2, tombstones=3))
    for query_id in range(1, 9):
        query = accept(journal, query_id)
        journal.release(journal.finish(query, q.DONE, "", NOW, answer=b"x" * 100))
    kept = [query_id for query_id in range(1, 9) if journal.find(query_id) is not None]
    assert kept == [7, 8]
    tombstones = [query_id for query_id in range(1, 9) if journal.tombstone(query_id) is not None]
    assert tombstones == [4, 5, 6]
    assert journal.tombstone(6) == digest_of(args(6))
    journal.close()
    again = Journal(path, StoreSettings(released=2, tombstones=3))
    assert accept(again, 9).number == 9
    again.close()


def test_the_journal_is_full_when_too_many_answers_wait(path: Path) -> None:
    journal = Journal(path, StoreSettings(queries=16))
    for query_id in range(1, 17):
        assert not journal.full()
        journal.finish(accept(journal, query_id), q.DONE, "", NOW)
    assert journal.full()
    found = journal.find(1)
    assert found is not None
    journal.release(found)
    assert not journal.full()
    journal.close()


def test_events_are_kept_and_bounded(path: Path) -> None:
    journal = Journal(path, StoreSettings(events=300))
    for number in range(1000):
        journal.event("core.noop", {"number": number}, NOW + number)
    journal.flush()
    events = journal.events(last=10_000)
    assert 300 <= len(events) <= 300 + 256
    assert events[-1] == (NOW + 999, "core.noop", {"number": 999})
    journal.close()


def test_events_that_wait_go_with_the_next_promise(journal: Journal, path: Path) -> None:
    journal.event("core.noop", {}, NOW)
    accept(journal, 1)
    abandon(journal)
    again = Journal(path)
    assert len(again.events()) == 1
    again.close()


def test_synchronous_full_in_wal_mode(journal: Journal) -> None:
    """A promise is on the disk before it is made: NORMAL would not be."""
    assert journal._copy is not None
    for shelf, mode in ((journal._main, "wal"), (journal._copy, "persist")):
        assert shelf.db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert shelf.db.execute("PRAGMA journal_mode").fetchone() == (mode,)


@pytest.mark.parametrize(
    "damage",
    [
        b"This is no database at all, but a text that is long enough to be looked at." * 100,
        b"",
        None,
    ],
    ids=["foreign", "empty", "torn"],
)
def test_a_damaged_journal_is_moved_aside_whole(path: Path, damage: bytes | None) -> None:
    """Never a crash: the damaged file is kept under another name, byte for byte, and a fresh journal begins."""
    alone = StoreSettings(copy_rows=False)
    journal = Journal(path, alone)
    for query_id in range(1, 60):
        accept(journal, query_id)
    journal.close()
    if damage is None:
        whole = path.read_bytes()
        damage = whole[:4096] + bytes(len(whole) // 2) + whole[4096 + len(whole) // 2 :]
    path.write_bytes(damage)
    again, name = Journal.recover(path, alone)
    if not damage:  # SQLite takes an empty file for a new database: nothing is there to keep
        assert name is None
    else:
        assert name is not None
        assert (path.parent / name).read_bytes() == damage
    assert again.waiting() == []
    accept(again, 1)
    again.close()


def test_two_damaged_journals_do_not_overwrite_each_other(path: Path) -> None:
    names = set()
    for number in range(3):
        path.write_bytes(b"damaged %d" % number * 1000)
        journal, name = Journal.recover(path, StoreSettings(copy_rows=False))
        journal.close()
        names.add(name)
    assert len(names) == 3


def test_a_journal_of_a_newer_version_is_set_aside_whole(path: Path) -> None:
    """Its rows that can be read are taken over; the file is there for the software that wrote it."""
    journal = Journal(path)
    accept(journal, 1)
    journal.close()
    for file in (path, copy_of(path)):
        with sqlite3.connect(file) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    again, name = Journal.recover(path)
    assert name == "journal.sqlite.damaged"
    assert [one.id for one in again.waiting()] == [1]
    again.close()
    with sqlite3.connect(path.with_name(name)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (99,)
    db.close()


def test_a_wal_left_by_a_killed_process_is_taken_up(path: Path, tmp_path: Path) -> None:
    """What was committed lies in the WAL when the process is killed; the next start finds it there."""
    journal = Journal(path)
    accept(journal, 7)
    for name in ("journal.sqlite", "journal.sqlite-wal"):
        (tmp_path / "copy").mkdir(exist_ok=True)
        (tmp_path / "copy" / name).write_bytes((tmp_path / name).read_bytes())
    abandon(journal)
    copy, name_aside = Journal.recover(tmp_path / "copy" / "journal.sqlite")
    assert name_aside is None
    assert [one.id for one in copy.waiting()] == [7]
    copy.close()


@given(
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.binary(max_size=20), st.integers(), st.text(max_size=5), st.none())
    )
)
def test_arguments_survive_the_way_there_and_back(values: dict[str, Any]) -> None:
    if values.keys() != {"hex"}:
        assert load_json(dump_json(values)) == values


@given(st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40))
def test_other_content_has_another_digest(one: bytes, other: bytes) -> None:
    assert (digest_of(args(1, one)) == digest_of(args(1, other))) == (one == other)
