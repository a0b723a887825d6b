"""A query as a row of the journal: its columns in order, and the SHA-256 that proves them when they are read."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from flight.store import query as q
from flight.store.query import Query

COLUMNS: Final = (
    "id", "number", "state", "reason", "digest", "request_id", "args", "accepted_at", "expires_at", "started_at",
    "ended_at", "messages", "messages_sha256", "scene", "prompt_sha256", "answer", "thinking", "receipt", "attempt",
    "restarts", "failures", "revision",
)  # fmt: skip
"""What the hash is over, in this order; the column `sha256` follows."""
_TIMES: Final = frozenset({"accepted_at", "expires_at", "started_at", "ended_at"})
_JSON: Final = frozenset({"args", "receipt"})
_ID, _NUMBER, _STATE, _REVISION = (COLUMNS.index(name) for name in ("id", "number", "state", "revision"))


def fingerprint(values: Sequence[Any]) -> bytes:
    """SHA-256 over values with their types and lengths, so that no two sequences share their bytes."""
    digest = hashlib.sha256()
    for value in values:
        match value:
            case None:
                kind, data = b"N", b""
            case bytes():
                kind, data = b"B", value
            case str():
                kind, data = b"S", value.encode("utf-8", "surrogateescape")
            case int():
                kind, data = b"I", b"%d" % value
            case _:
                kind, data = b"F", struct.pack(">d", value)
        digest.update(b"%s%d:" % (kind, len(data)))
        digest.update(data)
    return digest.digest()


def key(query_id: int) -> str:
    """The id as the journal writes it."""
    return f"{query_id:016x}"


def id_of(written: Any) -> int | None:
    """The inverse of `key`; None where what is written is no id."""
    try:
        return int(written, 16)
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True)
class Row:
    """Values of `COLUMNS`, and the hash that was stored with them."""

    values: tuple[Any, ...]
    sha256: bytes | None

    @classmethod
    def of(cls, query: Query) -> Self:
        """The row of a query, with its hash."""
        values = tuple(_stored(name, getattr(query, name)) for name in COLUMNS)
        return cls(values, fingerprint(values))

    @property
    def sound(self) -> bool:
        """Whether the values are those that were written."""
        return self.sha256 == fingerprint(self.values)

    @property
    def id(self) -> int | None:
        """The query's id; None where the column holds none any more."""
        return id_of(self.values[_ID])

    @property
    def number(self) -> Any:
        """Place in the order of acceptance."""
        return self.values[_NUMBER]

    @property
    def state(self) -> Any:
        """State of the query."""
        return self.values[_STATE]

    @property
    def revision(self) -> Any:
        """How often the row was written: of two sound rows the one with more is the later."""
        return self.values[_REVISION]

    def query(self) -> Query:
        """The query in a sound row."""
        return Query(**{name: _loaded(name, value) for name, value in zip(COLUMNS, self.values, strict=True)})


def intact(query: Query) -> bool:
    """Whether a query in memory is still what was written last: our own copy may be hit as well as the file's."""
    return not query.sha256 or Row.of(query).sha256 == query.sha256


def lost(query_id: int, number: int) -> Query:
    """What is left of a query whose rows are all damaged: its id, and that it failed."""
    args = {"query_id": query_id, "question": b"", "scene": "", "seed": 0, "parent": 0, "ttl_s": 0}
    return Query(query_id, number, q.FAILED, q.DAMAGED, b"", bytes(4), args, 0.0, started_at=0.0, ended_at=0.0)


def _stored(name: str, value: Any) -> Any:
    if name == "id":
        return key(value)
    if value is None:
        return None
    if name in _JSON:
        return q.dump_json(value)
    return float(value) if name in _TIMES else value


def _loaded(name: str, value: Any) -> Any:
    if name == "id":
        return int(value, 16)
    return q.load_json(value) if name in _JSON and value is not None else value
