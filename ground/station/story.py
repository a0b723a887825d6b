"""What is known of one query, from what was heard. Sans-I/O and without timers: reports and `now` in, news out.

What the radio does (late, doubled, lost, out of order) may hold back what is known, but never makes it wrong.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

from ground.instant import Instant
from ground.legs import ORDER, OUTCOMES, Leg, Verdict
from ground.record import Evidence, Record
from ground.station.parts import KINDS, Part
from ground.station.texts import Texts
from spacelink import Report


class News(Enum):
    """What a report brought."""

    NOTHING = 0
    SOMETHING = 1
    RECEIPT_IS_DUE = 2
    """It has ended on board; the receipt must be on its way, or was lost."""


class Story:
    """Keeps a record up to date.

    `changed`, `durable`, `just_delivered` and `mismatched` are flags that `settled` clears.
    """

    def __init__(self, record: Record, texts: Texts) -> None:
        self.record = record
        self.texts = texts
        self.changed = True
        self.durable = False
        """Something was promised or is about to be: the archive must have it before the next command leaves."""
        self.just_delivered = False
        self.mismatched = False
        """A complete text was not the one that the receipt is for."""
        if record.leg is not Leg.DELIVERED:
            texts.expect(record.receipt)
            self._read()

    def settled(self) -> None:
        """The owner has taken the changes."""
        self.changed = self.durable = self.just_delivered = self.mismatched = self.texts.dropped = False
        self.texts.fresh = []

    def touched(self, size: int, now: Instant) -> None:
        """A packet of this query came, `size` bytes long."""
        self.record.bytes_down += size
        self.record.heard = now.mission
        self.changed = True

    @property
    def expired(self) -> float:
        """Mission time after which the answer is of no use; infinite for never."""
        ttl = self.record.asked.ttl_s
        return self.record.created + ttl if ttl else float("inf")

    # Service 130.

    def heard(self, report: Report, now: Instant) -> News:
        """A report of service 130 that carries this query's id."""
        match report.name:
            case "inference.segment":
                return self._segment(report, now)
            case "inference.progress":
                return self._progress(report, now)
            case "inference.receipt":
                return self._receipt(report, now)
            case "inference.query_state":
                return self._state(report, now)
        return News.NOTHING

    def _segment(self, report: Report, now: Instant) -> News:
        record, args = self.record, report.args
        self.arrived()
        if record.leg is Leg.DELIVERED or not self._current(int(args["attempt"])):
            return News.NOTHING
        part = Part(KINDS[str(args["kind"])], int(args["number"]), int(args["attempt"]), bytes(args["data"]))
        if not self.texts.add(part):
            return News.NOTHING
        if record.receipt is None and not record.ended:
            self._mark(Leg.DECODE, report, now)
        self._read()
        self._finish(now)
        return News.SOMETHING

    def _current(self, attempt: int) -> bool:
        """Whether this attempt is the one in hand. A higher one makes the older segments void."""
        record = self.record
        if attempt == record.attempt:
            return True
        if attempt < record.attempt or record.receipt is not None:
            return False
        record.attempt = attempt
        self._drop()
        return True

    def _progress(self, report: Report, now: Instant) -> News:
        record, args = self.record, report.args
        self.arrived()
        if record.ended:
            return News.NOTHING
        done, total = int(args["done"]), int(args["total"])
        if args["step"] == "prefill":
            self._mark(Leg.PREFILL, report, now)
            record.prefill_done, record.prompt_tokens = done, total or record.prompt_tokens
        elif args["step"] == "checking":
            self._mark(Leg.CHECKING, report, now)
        else:
            self._mark(Leg.DECODE, report, now)
            record.tokens = max(record.tokens, done)
            record.tokens_per_s = _plain(args["tokens_per_s"]) or 0.0
        return News.SOMETHING

    def _state(self, report: Report, now: Instant) -> News:
        record = self.record
        state, tokens = str(report.args["state"]), int(report.args["tokens"])
        if state in ("unknown", "released"):
            if record.ended:
                self.close()
            elif state == "unknown":
                self.forgotten(now)
            else:
                self.gone(report, now)
            return News.NOTHING
        self.arrived()
        if record.ended:
            return News.NOTHING
        fresh = state != record.state or tokens > record.tokens
        record.state, record.tokens = state, max(record.tokens, tokens)
        if state == "running":
            self._mark(Leg.DECODE if tokens else Leg.PREFILL, report, now)
        elif state != "queued" and record.receipt is None:
            return News.RECEIPT_IS_DUE
        return News.SOMETHING if fresh else News.NOTHING

    def _receipt(self, report: Report, now: Instant) -> News:
        record, args = self.record, report.args
        self.arrived()
        attempt = int(args["attempt"])
        if record.receipt is not None or attempt < record.attempt:
            return News.NOTHING
        if attempt > record.attempt:
            record.attempt = attempt
            self._drop()
        record.receipt = {name: _plain(value) for name, value in args.items()}
        record.verdict = Verdict(str(args["verdict"]).upper())
        record.tokens, record.prompt_tokens = int(args["tokens"]), int(args["prompt_tokens"])
        self.durable = True
        self.texts.expect(record.receipt)
        self._read()
        outcome = str(args["outcome"])
        if outcome != "done":
            if not record.ended:
                self.end(OUTCOMES[outcome], str(args["reason"]), now, report)
            return News.SOMETHING
        self._mark(Leg.ONBOARD_DONE, report, now)
        if bytes(args["question_sha256"]) != record.asked.sha256:
            self.end(Leg.FAILED, "question_hash_mismatch", now, report)
            return News.SOMETHING
        self._finish(now)
        if not record.ended:
            self._mark(Leg.DOWNLINKING, report, now, time=now.mission)
        return News.SOMETHING

    # Service 1, for the question itself.

    def ask_verified(self, kind: str, reason: str, report: Report, now: Instant) -> News:
        """A verification report for one of the repeats of the question; `kind` is its name in the dictionary."""
        record = self.record
        if kind == "rejected":
            # A refusal of one repeat says nothing against another that was accepted, or may still be.
            if not record.on_board and not record.ended:
                self.end(Leg.REJECTED, reason, now, report)
                if record.uplinks == 1:
                    self.close()
            return News.NOTHING
        self.arrived()
        match kind:
            case "accepted":
                self._mark(Leg.ACCEPTED, report, now)
            case "started":
                self._mark(Leg.PREFILL, report, now)
            case "step" if report.args["step"] == "decode":
                self._mark(Leg.DECODE, report, now)
            case "step" if report.args["step"] == "checking":
                self._mark(Leg.CHECKING, report, now)
            case "completed":
                self._mark(Leg.ONBOARD_DONE, report, now)
                return News.RECEIPT_IS_DUE if record.receipt is None else News.NOTHING
            case "start_failed" | "failed" if not record.ended:
                leg = {"cancelled": Leg.CANCELLED, "expired": Leg.EXPIRED}.get(reason, Leg.FAILED)
                self.end(leg, reason, now, report)
                return News.RECEIPT_IS_DUE
        return News.SOMETHING

    # Turns of the story.

    def arrived(self) -> None:
        """The spacecraft has the question: a refusal, or a cancel that came first, was not the whole truth."""
        record = self.record
        if record.leg in (Leg.REJECTED, Leg.CANCELLED) and not record.on_board:
            del record.evidence[record.leg]
            record.leg = max(record.evidence, key=ORDER.index, default=Leg.QUEUED)  # of before it was forgotten, too
            record.reason, record.closed = None, False
            self.changed = self.durable = True
        record.on_board = True

    def forgotten(self, now: Instant) -> None:
        """The spacecraft has no such query: it never came, or the journal was lost. It will be asked from the start."""
        record = self.record
        if now.mission >= self.expired:
            self.end(Leg.EXPIRED, "expired", now)
            self.close()
        elif record.cancelling:
            self.end(Leg.CANCELLED, "cancelled", now)
            self.close()
        elif record.on_board:
            record.on_board, record.receipt, record.verdict = False, None, None
            record.attempt, record.state = 0, "unknown"
            self._drop()
            self.changed = self.durable = True

    def gone(self, report: Report, now: Instant) -> None:
        """Somebody else acknowledged the answer: it is no longer on board."""
        self.end(Leg.FAILED, "released", now, report)
        self.close()

    def end(self, leg: Leg, reason: str | None, now: Instant, report: Report | None = None) -> None:
        """The answer is here, or will never be."""
        if report is None:
            self.record.mark(leg, Evidence(time=now.mission, received=now.mission))
        else:
            self._mark(leg, report, now)
        self.record.leg, self.record.reason = leg, reason
        self.changed = self.durable = True

    def close(self) -> None:
        """Nothing more is to be said to the spacecraft."""
        self.record.closed = True
        self.changed = self.durable = True

    # The answer.

    def _drop(self) -> None:
        self.texts.drop()
        self.texts.expect(self.record.receipt)
        self._read()

    def _read(self) -> None:
        record = self.record
        record.answer, record.thinking = self.texts.readable
        record.segments_have, record.segments_total = self.texts.count

    def _finish(self, now: Instant) -> None:
        """Compare, once everything is here."""
        if self.record.receipt is None or self.record.ended or not self.texts.complete:
            return
        if self.texts.right:
            self.record.raw = self.texts.raw
            self.end(Leg.DELIVERED, None, now)
            self.just_delivered = True
        else:
            # Not the text that the receipt is for, though every packet passed its CRC: get all of it again.
            self.mismatched = True
            self._drop()

    def _mark(self, leg: Leg, report: Report, now: Instant, time: float | None = None) -> None:
        proof = Evidence(
            time=report.time if time is None else time,
            received=now.mission,
            packet=report.name,
            service=report.service,
            subtype=report.subtype,
            sequence=report.seq,
            sent=report.time,
        )
        self.record.mark(leg, proof)


def _plain(value: Any) -> Any:
    """A value as JSON keeps it: bytes as hex, what is not finite as none; `ground.seal.unplain` is the inverse."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [{name: _plain(each) for name, each in item.items()} for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
