"""What is kept here of a query, held against its receipt: question, request, texts, verdict, and where it stands.

Nothing that is kept beside the receipt (leg, reason, evidence) can spare a text the comparison: at most it can leave it
undecided, where a part of the text is rightly missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from ground.legs import OUTCOMES, Leg
from ground.record import Record
from spacelink import FieldError
from spacelink.receipts import request_sha256

UNDELIVERED: Final = ("released", "state_damaged", "question_hash_mismatch")
"""Reasons with which a query fails here whose receipt says that it was done."""
NO_HASH: Final = bytes(32)
"""Hashes of a question that flight has lost in every copy."""


class Text(StrEnum):
    """What a text that is kept here is, held against the receipt's hash and length."""

    SAME = "same"
    ABSENT = "absent"
    """Nothing is here of a text of a query that ended without an answer: nothing is claimed of it either."""
    PART = "part"
    """Shorter than the receipt says, and rightly so: no hash speaks of it."""
    OTHER = "other"


def text_kept(record: Record, receipt: Mapping[str, Any], name: str) -> Text:
    """What the kept `answer` or `thinking` is, held against the receipt."""
    kept = record.bytes_of(name)
    if receipt[f"{name}_sha256"] == hashlib.sha256(kept).digest():
        return Text.SAME
    if record.leg is Leg.DELIVERED or not _fits(record, receipt):
        return Text.OTHER
    if on_its_way(record):
        return Text.PART
    if not kept and receipt["outcome"] != "done":
        return Text.ABSENT
    # Bytes of a text that was not delivered are not kept: U+FFFD stands for one to three of them.
    broken = getattr(record, name).count("\ufffd")
    least, total = len(kept) - 2 * broken, int(receipt[f"{name}_bytes"])
    return Text.PART if least < total or (broken and least == total) else Text.OTHER


def on_its_way(record: Record) -> bool:
    """Whether segments of the text are still to come."""
    total = record.segments_total
    return record.leg is Leg.DOWNLINKING and not record.closed and total is not None and record.segments_have < total


def _fits(record: Record, receipt: Mapping[str, Any]) -> bool:
    """Whether a query with this receipt may be where it is kept as being."""
    leg = record.leg
    if leg not in record.evidence or (Leg.DELIVERED in record.evidence and leg is not Leg.DELIVERED):
        return False
    if leg is OUTCOMES[receipt["outcome"]]:
        return True
    if leg in (Leg.EXPIRED, Leg.CANCELLED):
        # Ended here, since the spacecraft had said that it knew no such query; it came after all.
        return not record.evidence[leg].packet
    if receipt["outcome"] != "done":
        return False
    # Another question's receipt, or an answer that can be had no more, ends in FAILED although it was done on board.
    return on_its_way(record) or (leg is Leg.FAILED and record.reason in UNDELIVERED)


def differences(record: Record, receipt: Mapping[str, Any], texts: Mapping[str, Text]) -> tuple[str, ...]:
    """Names of what is kept here and is not what the receipt speaks of."""
    checks = {"query id": receipt["query_id"] == record.query_id}
    lost = receipt["question_sha256"] == receipt["request_sha256"] == NO_HASH and receipt["reason"] == "state_damaged"
    if not lost:  # of a query that was damaged in every copy flight knows no more
        checks |= _asked(record, receipt)
    checks |= {name: found is not Text.OTHER for name, found in texts.items()}
    checks["leg"] = _fits(record, receipt)
    return tuple(name for name, same in checks.items() if not same)


def _asked(record: Record, receipt: Mapping[str, Any]) -> dict[str, bool]:
    """Whether the receipt speaks of what was asked, and of the verdict that is kept."""
    asked = record.asked
    checks = {
        "question": receipt["question_sha256"] == asked.sha256,
        "scene": receipt["scene"] == asked.scene,
        "seed": receipt["seed"] == asked.seed,
        "verdict": record.verdict is not None and receipt["verdict"] == record.verdict.value.lower(),
    }
    if all(checks.values()) and receipt["query_id"] == record.query_id:
        try:
            request = request_sha256(asked.ask_args(record.query_id))
        except FieldError:
            request = b""
        checks["request (system text or settings)"] = receipt["request_sha256"] == request
    return checks
