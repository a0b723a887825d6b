"""The two files of the journal brought together at a start: what one has lost, the other gives back.

Rows prove themselves by their hash and count how often they were written, so the union of both files, the later row of
each query, is the journal, however each file came by its damage. What no file has any more is said, never guessed.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from flight.errors import JournalError
from flight.store.files import move_aside
from flight.store.query import Query
from flight.store.row import Row, key, lost
from flight.store.shelf import BROKEN, Remains, Shelf, read_all, salvage

LOG = logging.getLogger("flight.store")

Tombstones = dict[str, tuple[str, int, bytes]]


@dataclass
class Findings:
    """What was found and done, until core has told it."""

    aside: str | None = None
    """Name that a damaged file was given when no other file had its contents: queries may be lost."""
    restored: dict[str, int] = field(default_factory=dict)
    """Queries in files that were made again from the other one, by the name that the damaged file was given."""
    mended: Counter[str] = field(default_factory=Counter)
    """Rows by file that were damaged, missing or behind, and are now what the other file has."""
    lost: list[Query] = field(default_factory=list)
    """Queries that are damaged in every copy."""
    alone: str = ""
    """Why there is no copy; empty where there is one, or none is wanted."""


@dataclass(frozen=True)
class _Contents:
    """What a journal holds: the later sound row of each query by id, tombstones by id, events."""

    rows: dict[str, Row]
    tombstones: Tombstones
    events: list[tuple[float, str, str]]


def open_both(path: Path, copy: Path | None, found: Findings, *, checked: bool) -> tuple[Shelf, Shelf | None]:
    """Open the journal's files, each the equal of the other; damaged ones are set aside whole and made again.

    `checked=False` takes rows as they are, hash or not.
    Raises `JournalError` when there is no way to a sound file (no room, no permission).
    """
    remains: dict[Path, Remains] = {}
    shelves: dict[Path, Shelf] = {}
    aside: dict[Path, str] = {}
    existed = {each for each in (path, copy) if each is not None and each.exists()}
    for each in (path, copy):
        if each is None:
            continue
        try:
            shelves[each] = Shelf(each, wal=each is path)
            remains[each] = read_all(shelves[each].db)
        except JournalError as error:
            LOG.error("%s", error)
            remains[each] = salvage(each)
            aside[each] = _set_aside(each)
    contents, damaged = _union(remains.values(), checked)
    contents.rows.update({key(one[0]): Row.of(lost(*one)) for one in damaged})
    for each, name in aside.items():
        fresh = _make(each, wal=each is path, found=found, needed=each is path)
        if fresh is not None:
            shelves[each] = fresh
            found.restored[name] = len(contents.rows)
    for each, shelf in list(shelves.items()):
        try:
            changed = _level(shelf, contents, events=each is path and each in aside)
        except BROKEN as error:
            LOG.error("the journal %s cannot be brought up to date: %s", each, error)
            if each is copy:
                found.alone = str(error)
                shelves.pop(each).close()
        else:
            if changed and each in existed and each not in aside:
                found.mended[each.name] += changed
    if aside and not existed - set(aside):
        found.aside = next(iter(aside.values()))
        found.restored.clear()
    return shelves[path], shelves.get(copy) if copy else None


def make_again(shelf: Shelf, other: Shelf, found: Findings, *, wal: bool) -> Shelf:
    """A file that broke while it was open, made again from the other one. Raises `JournalError`."""
    shelf.close()
    contents, _ = _union([read_all(other.db), salvage(shelf.path)], checked=True)
    name = _set_aside(shelf.path)
    fresh = _make(shelf.path, wal=wal, found=found, needed=True)
    assert fresh is not None
    try:
        _level(fresh, contents, events=wal)
        with fresh.transaction():
            fresh.write_meta("counters", other.read_meta("counters") or {})
    except BROKEN as error:
        fresh.close()
        raise JournalError(f"The journal {shelf.path} cannot be made again: {error}.") from error
    LOG.error("%s was damaged, set aside as %s and made again from its copy", shelf.path.name, name)
    found.restored[name] = len(contents.rows)
    return fresh


def _union(remains: Iterable[Remains], checked: bool) -> tuple[_Contents, list[tuple[int, int]]]:
    """All that is sound, and (id, a free number) of queries of which only damaged rows are left."""
    rows: dict[str, Row] = {}
    broken: list[Row] = []
    marks: Tombstones = {}
    events: list[tuple[float, str, str]] = []
    for one in remains:
        marks |= {mark[0]: mark for mark in one.tombstones}
        events += one.events
        for row in one.rows:
            query_id = row.values[0]
            if checked and not row.sound:
                broken.append(row)
            elif query_id not in rows or row.revision > rows[query_id].revision:
                rows[query_id] = row
    for query_id in marks.keys() & rows.keys():
        del rows[query_id]
    numbers = {row.number for row in rows.values()} | {mark[1] for mark in marks.values()}
    gone: dict[int, int] = {}
    for row in broken:
        # A row whose id was hit stands for the query that has its number.
        if row.id and key(row.id) not in rows and key(row.id) not in marks and row.number not in numbers:
            gone.setdefault(row.id, max(numbers, default=0) + 1 + len(gone))
    return _Contents(rows, marks, events), list(gone.items())


def _level(shelf: Shelf, contents: _Contents, *, events: bool) -> int:
    """Make a file hold exactly this; returns how many rows were not there or not so."""
    have = {row.values[0]: row for row in read_all(shelf.db).rows}
    wrong = [row for query_id, row in contents.rows.items() if have.get(query_id) != row]
    surplus = [query_id for query_id in have if query_id not in contents.rows]
    marks = [mark for mark in contents.tombstones.values() if shelf.tombstone(int(mark[0], 16)) != mark[2]]
    if not (wrong or surplus or marks or events):
        return 0
    with shelf.transaction():
        for query_id in [*surplus, *(row.values[0] for row in wrong)]:
            shelf.db.execute("DELETE FROM queries WHERE id IS ?", (query_id,))
        for row in wrong:
            shelf.put(row)
        for mark in marks:
            shelf.bury(*mark)
        for event in contents.events if events else []:
            shelf.add_event(*event)
    return len(wrong) + sum(query_id not in contents.tombstones for query_id in surplus)


def _make(path: Path, *, wal: bool, found: Findings, needed: bool) -> Shelf | None:
    try:
        return Shelf(path, wal=wal)
    except JournalError as error:
        if needed:
            raise
        found.alone = str(error)
        return None


def _set_aside(path: Path) -> str:
    names = [
        target.name
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal")
        if (target := move_aside(path.with_name(name), "damaged")) is not None
    ]
    return names[0] if names else path.name
