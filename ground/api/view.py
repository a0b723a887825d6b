"""What the API shows of a record: evidence only, in words and seconds."""

from __future__ import annotations

from itertools import pairwise

from ground.api.schemas import ByteCount, Onboard, Proof, Query, Sealed, SegmentCount
from ground.findings import findings
from ground.instant import Instant, iso
from ground.legs import Leg
from ground.question import hex_id
from ground.record import Record
from ground.seal import UNSET, Seal, Trust, Verification, verify


def sealed_view(record: Record, believed: Trust) -> Sealed:
    """What can be said of the receipt."""
    return _sealed(verify(record, believed))


def _sealed(found: Verification) -> Sealed:
    return Sealed(seal=found.seal, sentence=found.sentence, key_id=found.key_id, differs=list(found.differs))


def query_view(record: Record, now: Instant, *, in_contact: bool, believed: Trust = UNSET) -> Query:
    """The query as a person or a program sees it now; `believed` is the key that receipts are checked with.

    The verdict and what is told of the checks stand beside a text only where the receipt speaks of that text.
    """
    receipt = record.receipt
    found = verify(record, believed)
    delivered = record.leg is Leg.DELIVERED
    steps = list(record.evidence.items())
    return Query(
        id=record.hex,
        question=record.asked.question,
        scene=record.asked.scene,
        system=record.asked.system,
        parent=hex_id(record.asked.parent) if record.asked.parent else None,
        answer=record.answer if delivered else "",
        thinking=record.thinking,
        partial=record.answer,
        leg=record.leg.value,
        wait_aos=not in_contact and not record.ended,
        verdict=record.verdict.value if record.verdict and found.stands else None,
        reason=record.reason,
        state=record.state,
        cancelling=record.cancelling and not record.ended,
        created=iso(record.created),
        heard=iso(record.heard) if record.heard is not None else None,
        times={leg.value: iso(proof.time) for leg, proof in steps},
        legs={leg.value: round(after.time - proof.time, 6) for (leg, proof), (_, after) in pairwise(steps)},
        evidence={
            leg.value: Proof(
                time=iso(proof.time),
                received=iso(proof.received),
                packet=proof.packet,
                service=proof.service,
                subtype=proof.subtype,
                sequence=proof.sequence,
            )
            for leg, proof in steps
        },
        total_s=round(max(0.0, (record.ended_at or now.mission) - record.created), 6),
        tokens=record.tokens,
        tokens_per_s=round(record.tokens_per_s, 3),
        prompt_tokens=record.prompt_tokens,
        prefill_done=record.prefill_done,
        model=(receipt["model"] or None) if receipt else None,
        segments=SegmentCount(have=record.segments_have, total=record.segments_total),
        bytes=ByteCount(
            scene=int(receipt["scene_bytes"]) if receipt else 0, up=record.bytes_up, down=record.bytes_down
        ),
        uplinks=record.uplinks,
        onboard=Onboard(
            queued_s=receipt["queued_ms"] / 1000,
            prefill_s=receipt["prefill_ms"] / 1000,
            decode_s=receipt["decode_ms"] / 1000,
        )
        if receipt
        else None,
        receipt=receipt,
        findings=findings(receipt) if found.stands else [],
        sealed=None if found.seal is Seal.NO_RECEIPT else _sealed(found),
    )
