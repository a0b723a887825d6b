"""What came of one injection: the classes of DESIGN §5 and the rules by which a row gets one, fixed before any run.

A row is judged from its `Evidence` alone. "Golden" is the answer of the undamaged model to the same question, made
twice and bit-identical before the campaign. An answer is *released* when it was given to the user as an answer. It is
*flagged* when it was released as UNVERIFIED: the user is told not to trust it. An arm without a gate flags nothing, and
what every answer of an arm is called, because a protection is switched off there, is no flag either.

The first rule that holds decides:

 1. `silent`: an answer was released, not flagged, and is not golden: its tokens differ (its text, where only that is
    known). It is SDC. Its kind: `task-wrong` when it holds fewer of the known facts than golden, else `token-changed`.
    With a gate (verdict VERIFIED) nothing softens this rule. Without a gate rule 9 takes what reads the same.
 2. `unrecoverable`: the query was lost or doubled, or the process under test could not be brought back to answer.
 3. `refused`: no answer was released (an error with a reason instead), or one that is flagged, right or not.
 4. `false-alarm`: no fault was injected, and yet damage was reported, an answer made again, or a process restarted.
 5. `clean`: no fault was injected, and the golden answer was released without any alarm.
 6. `hang-recovered`: a process stood still, was ended by its watchdog and started again; the released answer is golden.
 7. `crash-recovered`: a process died and was started again; the released answer is golden.
 8. `detected-and-recomputed`: the gate took an answer back, or the engine gave one up (non-finite logits), and it was
    made again; or the gate itself was hit, noticed it and checked again. The released answer is golden.
 9. `masked-semantic`: without a gate only: other tokens that read the same. Case, white space and punctuation apart the
    text is golden, and every known fact of the golden answer is in it.
10. `corrected`: damage was found and repaired (or was gone when looked at again); the released answer is golden.
11. `not-activated`: the golden answer, no alarm, and the faulty bits were never used: between the flip and its end
      - weights: no token was computed, or the byte is one the graph does not read (header, padding); every tensor of a
        dense model is read for every token, rows of an embedding that is no output too are counted as read;
      - page codes: no pass read the block; parity: no page was rebuilt from the stripe;
      - KV: the cell was not in use, or no token was computed after the flip;
      - compute: the operation was never executed (the engine counts the strikes);
      - process memory, registers, storage, link, clock: the injector says so (page not present, frame never sent).
        Whether a byte of a heap was read cannot be seen from outside, so such rows count as activated: rates per
        activated fault are then a lower bound, and the rates per injection are the ones to quote.
12. `masked-identical`: the golden answer without any alarm although the faulty bits were used.

The promise of DESIGN is judged by rule 1 alone: `silent` of arms with a gate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from hil.campaign.question import Golden, Question


class Outcome(StrEnum):
    """The class of a row; the rules are in this module's docstring."""

    SILENT = "silent"
    UNRECOVERABLE = "unrecoverable"
    REFUSED = "refused"
    FALSE_ALARM = "false-alarm"
    HANG_RECOVERED = "hang-recovered"
    CRASH_RECOVERED = "crash-recovered"
    RECOMPUTED = "detected-and-recomputed"
    CORRECTED = "corrected"
    MASKED_SEMANTIC = "masked-semantic"
    MASKED_IDENTICAL = "masked-identical"
    NOT_ACTIVATED = "not-activated"
    CLEAN = "clean"


class Silent(StrEnum):
    """The kind of a silent corruption."""

    NONE = ""
    TOKEN_CHANGED = "token-changed"  # noqa: S105 - a token of text
    TASK_WRONG = "task-wrong"


@dataclass(frozen=True)
class Detection:
    """Something noticed the fault: `by` "pages", "codes", "replay", "rerun", "numeric", "crash", "hang", "storage",
    "link" … ; `seconds` after the flip (NaN when not measured), `outcome` the rung that repaired it, if any."""

    by: str
    seconds: float = float("nan")
    outcome: str = ""
    bits: int = 0
    repair_s: float = float("nan")


@dataclass(frozen=True)
class Evidence:
    """What a lane saw of one run. A lane fills in what it knows; the defaults are those of an undisturbed run.

    `answer`: text released, None when none was. `tokens`: its ids, None where the lane sees no tokens (flight lane).
    `verdict`: "verified", "unverified", "unchecked" or "" without an answer. `reason`: of the verdict or the failure.
    `gated`: the arm has a release gate. `attempts`: how often the answer was made. `crashed`, `hung`: process names.
    `restarts`: children renewed. `activated`: False only where rule 11 says so. `lost`, `doubled`: the query.
    `dead`: what was hit could not be brought back. `proven`: image, codes and parity equal to flash by hash after
    the run (None: not looked at, restored anyway). `changed`: "offset:bit" of each flip. Times in seconds, NaN when not
    measured.
    """

    answer: str | None
    tokens: tuple[int, ...] | None = None
    verdict: str = ""
    reason: str = ""
    how: str = ""
    gated: bool = False
    attempts: int = 1
    detections: tuple[Detection, ...] = ()
    crashed: tuple[str, ...] = ()
    hung: tuple[str, ...] = ()
    restarts: int = 0
    injected: bool = True
    activated: bool = True
    lost: bool = False
    doubled: bool = False
    dead: bool = False
    proven: bool | None = None
    changed: tuple[str, ...] = ()
    margin: float = float("nan")
    seconds: float = float("nan")
    recovery_s: float = float("nan")
    note: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    """What the injector knows of the place (tensor, field, role, bit, process …); known names become columns."""


@dataclass(frozen=True)
class Judgement:
    """The class of a row and what it rests on."""

    outcome: Outcome
    silent: Silent
    same: bool
    right: int


def judge(evidence: Evidence, question: Question, golden: Golden) -> Judgement:
    """The class of a run, by the rules of this module's docstring."""
    answer = evidence.answer
    right = 0 if answer is None else question.right(answer)
    same = _same(evidence, golden)
    outcome = _outcome(evidence, golden, same, right)
    silent = Silent.NONE
    if outcome is Outcome.SILENT:
        silent = Silent.TASK_WRONG if right < golden.right else Silent.TOKEN_CHANGED
    return Judgement(outcome, silent, same, right)


def _same(evidence: Evidence, golden: Golden) -> bool:
    if evidence.answer is None:
        return False
    if evidence.tokens is not None and evidence.tokens != golden.tokens:
        return False
    return evidence.answer == golden.text


def _outcome(evidence: Evidence, golden: Golden, same: bool, right: int) -> Outcome:
    flagged = evidence.verdict == "unverified" and evidence.reason not in _ALWAYS
    changed = evidence.answer is not None and not same and not flagged
    if changed and not _reads_the_same(evidence, golden, right):
        return Outcome.SILENT
    if evidence.lost or evidence.doubled or evidence.dead:
        return Outcome.UNRECOVERABLE
    if changed:
        return Outcome.MASKED_SEMANTIC
    if not evidence.injected:
        alarmed = evidence.detections or evidence.crashed or evidence.hung or evidence.attempts > 1 or evidence.restarts
        return Outcome.FALSE_ALARM if alarmed or flagged or evidence.answer is None else Outcome.CLEAN
    if evidence.answer is None or flagged:
        return Outcome.REFUSED
    if evidence.hung:
        return Outcome.HANG_RECOVERED
    if evidence.crashed:
        return Outcome.CRASH_RECOVERED
    if evidence.attempts > 1 or (evidence.detections and not any(one.outcome for one in evidence.detections)):
        return Outcome.RECOMPUTED
    if evidence.detections:
        return Outcome.CORRECTED
    return Outcome.MASKED_IDENTICAL if evidence.activated else Outcome.NOT_ACTIVATED


_ALWAYS: Final = ("protection_off", "pages_only", "offloaded")
"""Reasons of UNVERIFIED that say nothing of one answer: every answer of the arm has them."""


def _reads_the_same(evidence: Evidence, golden: Golden, right: int) -> bool:
    if evidence.verdict == "verified" or right < golden.right:
        return False
    return _words(evidence.answer or "") == _words(golden.text)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
