"""From what came down the link in one trial to the campaign's `Evidence`: the worst query speaks for all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hil.campaign.inquiry import Inquiry, Query
from hil.campaign.outcome import Detection, Evidence
from hil.telecommander import Telecommander

LOSSES: Final = {"hung": "hang", "killed": "crash", "exited": "crash"}
"""Why the supervisor lost a child (event `supervisor.child_restarted`), and what a campaign calls it."""


PARTS: Final = {"image": "pages", "codes": "codes", "parity": "parity"}
"""Where damage was found (events `integrity.damage_*`), and what a campaign calls it."""
DETECTIONS: Final = {
    "integrity.slot_failed": ("storage", "other slot"),
    "integrity.code_damaged": ("code", ""),
    "inference.gate_disagreed": ("replay", ""),
    "inference.text_differs": ("replay", ""),
    "store.journal_set_aside": ("storage", "set aside"),
    "store.journal_restored": ("storage", "copy"),
    "store.rows_mended": ("storage", "copy"),
    "store.query_damaged": ("storage", ""),
    "store.receipt_key_replaced": ("storage", "made anew"),
    "store.receipt_key_missing": ("storage", ""),
    "supervisor.state_file_damaged": ("storage", "made anew"),
}
"""How a campaign calls what other events tell, and what put it right, if anything did."""
RESENT: Final = "sent again"
"""What puts a damaged link right: codes in the frames, and repeats."""


@dataclass(frozen=True)
class Disturbance:
    """What was done to flight: when (monotonic), to whom, by which means; `changed`, `activated` as in `Evidence`."""

    at: float
    target: str
    process: str = ""
    changed: tuple[str, ...] = ()
    note: str = ""
    activated: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Loss:
    """A process that was lost: `how` is crash or hang, `after_s` the time from the fault to the news of it."""

    process: str
    how: str
    after_s: float


def losses(link: Telecommander, since: float) -> list[Loss]:
    """Children that the supervisor lost, as its events tell."""
    found = []
    for report, arrived in zip(link.reports, link.arrivals, strict=True):
        if report.name == "event" and report.args["event"] == "supervisor.child_restarted":
            args = report.args["args"]
            if args["why"] in LOSSES:
                found.append(Loss(str(args["child"]), LOSSES[args["why"]], arrived - since))
    return found


def findings(link: Telecommander, since: float) -> list[Detection]:
    """Damage that flight found in its memory, its files or an answer, as its events tell."""
    found = []
    for report, arrived in zip(link.reports, link.arrivals, strict=True):
        if report.name != "event":
            continue
        name, args = str(report.args["event"]), report.args["args"]
        by, outcome = DETECTIONS.get(name, (PARTS.get(str(args.get("part", "")), ""), str(args.get("outcome", ""))))
        if by:
            bits = int(args.get("bits", 0))
            found.append(Detection(by=by, seconds=arrived - since, outcome=outcome, bits=bits))
    return found


def worst(queries: Sequence[Query], expected: dict[int, str]) -> Query:
    """The query that went worst: another text as if it were right, lost, no answer, flagged, and then the rest."""

    def badness(query: Query) -> int:
        if not query.ended:
            return 4
        if query.receipt is None or not query.answered:
            return 3
        if query.text != expected[query.id]:
            return 5 if query.receipt["verdict"] != "unverified" else 3
        return 2 if query.receipt["verdict"] == "unverified" else 0

    return max(queries, key=badness)


def text_of(query: Query, main: Query, expected: dict[int, str]) -> str | None:
    """The released text as the trial's question would have it: a companion that is right stands for a right answer."""
    if query.text is None or query is main:
        return query.text
    return expected[main.id] if query.text == expected[query.id] else f"[companion] {query.text}"


def evidence_of(
    inquiry: Inquiry,
    main: Query,
    expected: dict[int, str],
    link: Telecommander,
    disturbance: Disturbance | None,
    *,
    gated: bool,
    doubled: bool = False,
    replaced: Loss | None = None,
    refused: str = "",
    dead: bool = False,
    seconds: float = math.nan,
    recovery_s: float = math.nan,
    notes: Sequence[str] = (),
    proven: bool | None = None,
    link_damage: int = 0,
) -> Evidence:
    """What a trial showed. `expected`: golden text by query id; `replaced`: the loss that was caused;
    `refused`: why flight did not answer at all; `link_damage`: frames that the link lost or damaged."""
    since = disturbance.at if disturbance is not None else math.nan
    told = worst(inquiry.queries, expected)
    receipt = told.receipt or {}
    lost = losses(link, since)
    if replaced is not None and (replaced.process, replaced.how) not in {(one.process, one.how) for one in lost}:
        lost.append(replaced)
    crashed = tuple(dict.fromkeys(one.process for one in lost if one.how == "crash"))
    hung = tuple(dict.fromkeys(one.process for one in lost if one.how == "hang"))
    detections = [Detection(by=one.how, seconds=one.after_s) for one in lost] + findings(link, since)
    detections += [Detection(by="link", outcome=RESENT)] if link_damage else []
    answer = text_of(told, main, expected) if told.answered else None  # what came of one that failed is no answer
    if refused and answer == expected[main.id]:
        answer = None  # what came after it was put right is not what was given
    return Evidence(
        answer=answer,
        verdict=str(receipt.get("verdict", "")) if told.answered else "",
        reason=refused[:200] or told.refused or _reason(receipt),
        gated=gated,
        attempts=max(1, int(receipt.get("rounds", 1))),
        how=str(receipt.get("gate", "")),
        detections=tuple(detections),
        crashed=crashed,
        hung=hung,
        restarts=len(lost),
        injected=disturbance is not None,
        activated=disturbance is None or disturbance.activated,
        lost=bool(inquiry.lost()) or not told.ended,
        doubled=doubled or bool(inquiry.doubled()),
        dead=dead,
        proven=proven,
        changed=disturbance.changed if disturbance is not None else (),
        seconds=seconds,
        recovery_s=recovery_s,
        note="; ".join([*notes, *([disturbance.note] if disturbance is not None and disturbance.note else [])]),
        labels=_labels(disturbance),
    )


def _reason(receipt: Mapping[str, object]) -> str:
    """Why there is no answer, or why its verdict is what it is."""
    return str(receipt.get("verdict_reason" if receipt.get("outcome") == "done" else "reason", ""))


def _labels(disturbance: Disturbance | None) -> dict[str, str]:
    if disturbance is None:
        return {}
    return dict(disturbance.labels) | ({"process": disturbance.process} if disturbance.process else {})
