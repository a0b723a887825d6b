"""Flipped bytes in the journal's files: never another text, never a start that fails, and what is lost is said."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flight.settings import StoreSettings
from flight.store import query as q
from flight.store.journal import Journal, copy_of
from flight.store.row import Row
from tests.flight.store.test_journal import NOW, accept, args

QUERIES = range(1, 13)
FILES = ("journal.sqlite", "journal.sqlite-wal", "journal-copy.sqlite")


def answer(query_id: int) -> bytes:
    """The one text that this query may ever have."""
    return b"Answer %d. " % query_id * (query_id * 9)


def fill(journal: Journal) -> None:
    """Queries in every state: queued, running, done, released, freed."""
    for query_id in QUERIES:
        query = accept(journal, query_id)
        if query_id % 4 == 1:
            continue
        query = journal.start(query, b"[%d]" % query_id * 50, b"\x01" * 32, b"scene", NOW)
        if query_id % 4 == 2:
            continue
        word = {"query_id": query_id, "answer_sha256": b"\x02" * 32}
        query = journal.finish(query, q.DONE, "", NOW, answer=answer(query_id), thinking=b"Hm.", receipt=word)
        if query_id % 8 == 4:
            journal.release(query)
    journal.event("core.noop", {"version": "1"}, NOW)
    journal.flush()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that a killed process left: pages and a WAL."""
    living = tmp_path_factory.mktemp("living")
    journal = Journal(living / "journal.sqlite", StoreSettings(released=1))
    fill(journal)
    journal._main.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for query_id in (13, 14):
        done = journal.start(accept(journal, query_id), b"[]", b"\x01" * 32, None, NOW)
        journal.finish(done, q.DONE, "", NOW, answer=answer(query_id), receipt={"query_id": query_id})
    left = tmp_path_factory.mktemp("left")
    for name in FILES:
        shutil.copy(living / name, left / name)
    journal.abandon()
    assert all((left / name).stat().st_size > 4096 for name in FILES)
    return left


def state_of(journal: Journal) -> dict[int, tuple[object, ...]]:
    """What the journal says of each query."""
    found = {}
    for query_id in (*QUERIES, 13, 14):
        query = journal.find(query_id)
        freed = journal.tombstone(query_id) is not None
        found[query_id] = (freed,) if query is None else (query.state, query.reason, query.answer, query.messages)
    return found


@pytest.fixture(scope="module")
def right(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[object, ...]]:
    """What an undamaged journal says."""
    folder = copied(template, tmp_path_factory)
    journal, aside = Journal.recover(folder / "journal.sqlite", StoreSettings(released=1))
    said = state_of(journal)
    journal.close()
    assert aside is None
    assert {state[0] for state in said.values()} == {q.QUEUED, q.RUNNING, q.DONE, q.RELEASED, True}
    return said


def copied(template: Path, factory: pytest.TempPathFactory) -> Path:
    folder = factory.mktemp("copy")
    for name in FILES:
        shutil.copy(template / name, folder / name)
    return folder


def flip(path: Path, places: list[tuple[float, int]]) -> None:
    content = bytearray(path.read_bytes())
    for place, bit in places:
        content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)


PLACES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=6)
FLIPS = st.dictionaries(st.sampled_from(FILES), PLACES, min_size=1, max_size=3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=FLIPS)
def test_flips_in_any_file_give_no_wrong_text_and_no_failing_start(
    flips: dict[str, list[tuple[float, int]]],
    template: Path,
    right: dict[int, tuple[object, ...]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """One file hit: nothing is lost. Both hit: what is lost is said, by query or by the file that was set aside."""
    folder = copied(template, tmp_path_factory)
    for name, places in flips.items():
        flip(folder / name, places)
    journal, aside = Journal.recover(folder / "journal.sqlite", StoreSettings(released=1))
    lost = {query.id for query in journal.found.lost}
    said = state_of(journal)
    both = "journal-copy.sqlite" in flips and len(flips) > 1
    for query_id, state in said.items():
        if state == right[query_id]:
            continue
        assert both, f"query {query_id} is {state}, one copy was whole"
        assert query_id in lost or aside is not None or state[0] != q.DONE, state
        assert state[2:] in ((), (None, None)) or state[0] in q.OPEN, "never another text"
    accept(journal, 99)
    journal.close()
    again, aside = Journal.recover(folder / "journal.sqlite", StoreSettings(released=1))
    assert aside is None
    assert {**state_of(again)} == said
    assert again.find(99) is not None
    again.close()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=PLACES, name=st.sampled_from(["journal.sqlite", "journal-copy.sqlite"]))
def test_flips_while_it_is_open_lose_nothing(
    places: list[tuple[float, int]],
    name: str,
    template: Path,
    right: dict[int, tuple[object, ...]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Read again from the file, since a cache would hide them."""
    folder = copied(template, tmp_path_factory)
    journal, _ = Journal.recover(folder / "journal.sqlite", StoreSettings(released=1))
    for shelf in (journal._main, journal._copy):
        assert shelf is not None
        shelf.db.execute("PRAGMA cache_size = 0")
    journal._main.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    flip(folder / name, places)
    assert state_of(journal) == right
    accept(journal, 99)
    assert state_of(journal) == right
    journal.close()
    again, _ = Journal.recover(folder / "journal.sqlite", StoreSettings(released=1))
    assert state_of(again) == right
    assert again.find(99) is not None
    again.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def spoil(file: Path, query_id: int, column: str = "answer") -> None:
    """Another text in a row, as a flip on flash would leave it: SQLite itself sees nothing wrong."""
    with sqlite3.connect(file) as db:
        db.execute(f"UPDATE queries SET {column} = ? WHERE id = ?", (b"Another text.", f"{query_id:016x}"))
    db.close()


def done(path: Path, bounds: StoreSettings | None = None) -> Journal:
    journal = Journal(path, bounds)
    query = journal.start(accept(journal, 1), b"[]", b"\x01" * 32, None, NOW)
    journal.finish(query, q.DONE, "", NOW, answer=b"The text.", receipt={"query_id": 1})
    return journal


@pytest.mark.parametrize("which", [lambda path: path, copy_of], ids=["journal", "copy"])
def test_a_damaged_row_is_mended_from_the_other_file(path: Path, which: Callable[[Path], Path]) -> None:
    done(path).close()
    spoil(which(path), 1)
    journal = Journal(path)
    found = journal.find(1)
    assert found is not None
    assert found.answer == b"The text."
    assert journal.take_findings().mended == {which(path).name: 1}
    journal.close()
    assert Journal(path).found.mended == {}


def test_a_row_that_is_damaged_in_both_fails_and_has_no_text(path: Path) -> None:
    done(path).close()
    spoil(path, 1)
    spoil(copy_of(path), 1)
    journal = Journal(path)
    found = journal.find(1)
    assert found is not None
    assert (found.state, found.reason, found.answer, found.is_lost) == (q.FAILED, "state_damaged", None, True)
    assert [query.id for query in journal.take_findings().lost] == [1]
    journal.close()


def test_until_a_loss_is_told_every_start_brings_it_up_again(path: Path) -> None:
    """Core may die between finding it and saying it."""
    done(path).close()
    spoil(path, 1)
    spoil(copy_of(path), 1)
    Journal(path).abandon()
    journal = Journal(path)
    (query,) = journal.found.lost
    journal.finish(query, q.FAILED, q.DAMAGED, NOW, receipt={"query_id": 1})
    journal.close()
    assert Journal(path).found.lost == []


def test_without_the_hash_a_damaged_row_would_pass(path: Path) -> None:
    """What the protection is for: switched off by its parameter, another text is taken for the answer."""
    bare = StoreSettings(copy_rows=False, check_rows=False)
    done(path, bare).close()
    spoil(path, 1)
    journal = Journal(path, bare)
    found = journal.find(1)
    assert found is not None
    assert found.answer == b"Another text."
    journal.close()


def test_without_the_copy_a_damaged_row_is_lost_and_said(path: Path) -> None:
    alone = StoreSettings(copy_rows=False)
    done(path, alone).close()
    spoil(path, 1)
    journal = Journal(path, alone)
    assert [query.id for query in journal.found.lost] == [1]
    journal.close()


def test_what_a_damaged_wal_loses_the_copy_has(path: Path, tmp_path: Path) -> None:
    """SQLite drops frames behind a damaged one without a word; the copy is written another way."""
    journal = done(path)
    (tmp_path / "left").mkdir()
    for name in FILES:
        shutil.copy(tmp_path / name, tmp_path / "left" / name)
    journal.abandon()
    flip(tmp_path / "left" / "journal.sqlite-wal", [(0.02, 3)])
    left, aside = Journal.recover(tmp_path / "left" / "journal.sqlite")
    found = left.find(1)
    assert found is not None
    assert (aside, found.answer) == (None, b"The text.")
    left.close()


def test_a_query_in_memory_that_was_hit_is_read_again_before_it_is_written(path: Path) -> None:
    journal = Journal(path)
    query = journal.start(accept(journal, 1), b"[]", b"\x01" * 32, None, NOW)
    object.__setattr__(query, "messages", b"[evil]")
    journal.interrupted(query, failures=1)
    found = journal.find(1)
    assert found is not None
    assert (found.messages, found.failures) == (b"[]", 1)
    assert journal.found.mended == {"memory": 1}
    journal.close()


def test_an_open_query_survives_damage_of_both_rows_while_core_lives(path: Path) -> None:
    """The row as it was written last is in memory, with its hash."""
    journal = Journal(path)
    accept(journal, 1)
    for file in (path, copy_of(path)):
        spoil(file, 1, "args")
    found = journal.find(1)
    assert found is not None
    assert (found.state, found.args) == (q.QUEUED, args(1))
    journal.close()


@pytest.mark.parametrize("gone", [lambda path: path, copy_of], ids=["journal", "copy"])
def test_a_file_that_is_gone_is_made_again(path: Path, gone: Callable[[Path], Path]) -> None:
    done(path).close()
    gone(path).unlink()
    journal = Journal(path)
    found = journal.find(1)
    assert found is not None
    assert found.answer == b"The text."
    assert journal.count(q.DONE) == 1
    journal.close()


def test_a_copy_that_has_no_room_costs_no_promise(path: Path) -> None:
    journal = Journal(path)
    assert journal._copy is not None
    journal._copy.db.execute("PRAGMA query_only = 1")
    accept(journal, 1)
    assert journal.found.alone
    journal.close()
    again = Journal(path)
    assert again._copy is not None
    assert again._copy.get(1) is not None
    again.close()


def test_the_later_of_two_copies_counts(path: Path) -> None:
    """A crash between the two commits leaves one file behind."""
    journal = Journal(path)
    query = accept(journal, 1)
    assert journal._copy is not None
    journal._copy.close()
    journal._copy = None
    journal.start(query, b"[]", b"\x01" * 32, None, NOW)
    journal.close()
    again = Journal(path)
    assert [one.state for one in again.waiting()] == [q.RUNNING]
    assert again._copy is not None
    kept = again._copy.get(1)
    assert kept is not None
    assert kept.query().state == q.RUNNING
    again.close()


def test_a_journal_from_before_there_were_hashes_is_taken_over(path: Path) -> None:
    from flight.store.schema import MIGRATIONS

    with sqlite3.connect(path) as db:
        db.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
        row = Row.of(accept(Journal(path.with_name("other.sqlite")), 1)).values[:-1]
        db.execute(f"INSERT INTO queries VALUES ({', '.join('?' * len(row))})", row)
    db.close()
    journal = Journal(path)
    assert [one.id for one in journal.waiting()] == [1]
    assert not journal.found.lost
    journal.close()
