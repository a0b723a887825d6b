"""A row of a campaign: one fault in one arm, flat, as it is stored in Parquet and told in the report."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from hil.campaign.outcome import Evidence, judge

if TYPE_CHECKING:
    from hil.campaign.lane import Arm, Trial


@dataclass(frozen=True)
class Row:
    """One run. Times in seconds, NaN when not measured; empty text where something does not apply.

    `fault` is the whole fault as JSON; the columns from `target` to `bit` are what of it the report groups by.
    `process` is the process that was hit, `kind` the tensor's name without its layer (or whatever else it was of: see
    `hil.campaign.figures.KINDS`), `layer` -1 outside of the layers. `fate`: what befell a query (lost, doubled) or
    what was hit (dead: it did not come back): what an `unrecoverable` row rests on; `UNTOLD` in rows from before.
    """

    index: int
    arm: str
    lane: str
    stratum: str
    target: str
    model: str
    at: str
    question: str
    family: str
    outcome: str
    silent: str
    same: bool
    verdict: str
    reason: str
    how: str
    attempts: int
    restarts: int
    fate: str
    crashed: str
    hung: str
    detected_by: str
    repaired_by: str
    bits_repaired: int
    activated: bool
    proven: str
    process: str
    tensor: str
    kind: str
    layer: int
    type: str
    field: str
    role: str
    bit: int
    part: str
    bits: int
    changed: str
    answer: str
    tokens: int
    golden_tokens: int
    first_difference: int
    right: int
    known: int
    golden_right: int
    margin: float
    detection_s: float
    repair_s: float
    recovery_s: float
    seconds: float
    note: str
    fault: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values by column."""
        return asdict(self)

    def same_as(self, other: Row) -> bool:
        """Whether a replay came out identical: everything but what a clock measured."""
        return self.identity() == other.identity()

    def identity(self) -> tuple[Any, ...]:
        """What a replay must reproduce."""
        return tuple(self.reproduced(name) for name in COLUMNS)

    def reproduced(self, name: str) -> Any:
        """What a replay must reproduce of a column, None for nothing: of who was lost, not who was seen first; of a
        process's own memory and registers not the place, which is another in another life of it."""
        if name in MEASURED or (name in _PLACE and self.target in _LIVING):
            return None
        value = getattr(self, name)
        return sorted(value.split()) if name in _SEVERAL else value


COLUMNS: Final = tuple(field.name for field in fields(Row))
MEASURED: Final = frozenset({"detection_s", "repair_s", "recovery_s", "seconds", "margin", "note", "fate"})
"""Columns that a clock or a chance of scheduling fills, or that say more of the class: not part of a row's identity."""
_SEVERAL: Final = frozenset({"crashed", "hung", "detected_by", "repaired_by"})
"""Columns with one word for each process or each that found something, in the order of the clock."""
_LIVING: Final = frozenset({"process", "registers"})
_PLACE: Final = frozenset({"kind", "part", "bit", "bits", "changed"})
ANSWER_CHARS: Final = 400
"""Characters of a wrong answer that a row keeps."""
UNTOLD: Final = "untold"
"""The fate of rows from before it was kept, where their class leaves it open."""


def make_row(trial: Trial, arm: Arm, lane: str, evidence: Evidence) -> Row:
    """The row of one run, judged."""
    golden, question = trial.golden, trial.question
    judgement = judge(evidence, question, golden)
    labels = evidence.labels
    found = evidence.detections
    answer = evidence.answer or ""
    return Row(
        index=trial.index,
        arm=arm.name,
        lane=lane,
        stratum=trial.stratum,
        target=labels.get("target", ""),
        model=labels.get("model", ""),
        at=labels.get("at", ""),
        question=question.id,
        family=question.family,
        outcome=judgement.outcome,
        silent=judgement.silent,
        same=judgement.same,
        verdict=evidence.verdict,
        reason=evidence.reason,
        how=evidence.how,
        attempts=evidence.attempts,
        restarts=evidence.restarts,
        fate=_fate(evidence),
        crashed=" ".join(evidence.crashed),
        hung=" ".join(evidence.hung),
        detected_by=" ".join(dict.fromkeys(one.by for one in found)),
        repaired_by=" ".join(dict.fromkeys(one.outcome for one in found if one.outcome)),
        bits_repaired=sum(one.bits for one in found),
        activated=evidence.activated,
        proven="" if evidence.proven is None else str(evidence.proven).lower(),
        process=labels.get("process", ""),
        tensor=labels.get("tensor", ""),
        kind=labels.get("kind", ""),
        layer=int(labels.get("layer") or -1),
        type=labels.get("type", ""),
        field=labels.get("field", ""),
        role=labels.get("role", ""),
        bit=int(labels.get("bit") or -1),
        part=labels.get("part", ""),
        bits=len(evidence.changed),
        changed=" ".join(evidence.changed[:16]),
        answer="" if judgement.same else kept(answer),
        tokens=-1 if evidence.tokens is None else len(evidence.tokens),
        golden_tokens=len(golden.tokens),
        first_difference=_first_difference(evidence, golden.tokens),
        right=judgement.right,
        known=question.known(),
        golden_right=golden.right,
        margin=evidence.margin,
        detection_s=_first(one.seconds for one in found),
        repair_s=_first(one.repair_s for one in found),
        recovery_s=evidence.recovery_s,
        seconds=evidence.seconds,
        note=evidence.note,
        fault=trial.fault_json,
    )


def kept(answer: str) -> str:
    """An answer as a row keeps it: long ones are cut, with a hash of all of it, so that only equal ones look equal."""
    if len(answer) <= ANSWER_CHARS:
        return answer
    return f"{answer[:ANSWER_CHARS]}… (sha256 {hashlib.sha256(answer.encode()).hexdigest()[:16]})"


def _fate(evidence: Evidence) -> str:
    found = {"lost": evidence.lost, "doubled": evidence.doubled, "dead": evidence.dead}
    return " ".join(name for name, holds in found.items() if holds)


def _first(values: Any) -> float:
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def _first_difference(evidence: Evidence, golden: tuple[int, ...]) -> int:
    """The position of the first token that differs from golden; -1 when none does or tokens are not known."""
    tokens = evidence.tokens
    if tokens is None or tokens == golden:
        return -1
    for position, (found, expected) in enumerate(zip(tokens, golden, strict=False)):
        if found != expected:
            return position
    return min(len(tokens), len(golden))


def from_dict(values: dict[str, Any]) -> Row:
    """The inverse of `Row.as_dict`, also of a row that went through Parquet."""
    return Row(**{name: values[name] for name in COLUMNS})
