"""A record as a row, and back."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from ground.archive.tables import QueryRow
from ground.legs import Leg, Verdict
from ground.question import Question
from ground.record import Evidence, Record

_COLUMNS = {"query_id", "asked", "created", "leg", "closed", "answer"}
_STATE = [each.name for each in fields(Record) if each.name not in _COLUMNS]


def row_of(record: Record) -> dict[str, Any]:
    """Column values of a record."""
    state = {name: getattr(record, name) for name in _STATE}
    state["evidence"] = {leg.value: asdict(proof) for leg, proof in record.evidence.items()}
    state["verdict"] = record.verdict.value if record.verdict else None
    return {
        "id": record.hex,
        "created": record.created,
        "leg": record.leg.value,
        "closed": record.closed,
        "question": record.asked.question,
        "answer": record.answer,
        "asked": record.asked.dump(),
        "state": state,
    }


def record_of(row: QueryRow) -> Record:
    """The record that a row holds."""
    state = {name: value for name, value in row.state.items() if name in _STATE}
    state["evidence"] = {Leg(leg): Evidence(**proof) for leg, proof in state["evidence"].items()}
    state["verdict"] = Verdict(state["verdict"]) if state["verdict"] else None
    state["request_ids"] = [(request, command) for request, command in state["request_ids"]]
    return Record(
        query_id=int(row.id, 16),
        asked=Question.parse(row.asked),
        created=row.created,
        leg=Leg(row.leg),
        closed=row.closed,
        answer=row.answer,
        **state,
    )
