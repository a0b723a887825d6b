"""One query's conversation with the spacecraft. Sans-I/O: reports and `now` in, commands out.

The session wants one thing at a time (`Want`), in this order: cancel, ask, report, resend, release. It knows when the
next try is `due`; whoever owns the link calls `command` then. What the radio does (late, doubled, lost, out of order)
changes nothing but the time it takes. All that matters is in the `Record` and the segments, so a session made anew from
the archive continues where the last one stood.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from ground.instant import Instant
from ground.legs import Leg, Verdict
from ground.record import Evidence, Record
from ground.station.parts import KINDS, Part
from ground.station.timing import Timing
from spacelink import Assembler, Report

REQUESTS_KEPT = 32
"""Request ids remembered of one query: older ones are answered too late to matter."""

RANGES = 32
"""Gaps named in one command: a short telecommand survives noise better than one that names all 200."""

RECEIPT_TRIES = 5
"""How often the receipt of a query that failed is asked for: it explains, but nothing depends on it."""

OUTCOMES = {"done": Leg.DELIVERED, "failed": Leg.FAILED, "cancelled": Leg.CANCELLED, "expired": Leg.EXPIRED}
"""Where each outcome of a receipt leads."""


class Want(StrEnum):
    """What the session wants from the link; the value is the command's name."""

    ASK = "inference.ask"
    CANCEL = "inference.cancel"
    REPORT = "inference.report"
    RESEND = "inference.resend"
    RELEASE = "inference.release"
    NOTHING = ""


class Session:
    """The state machine of one query. `changed` and `durable` are flags for the owner, who clears them."""

    def __init__(self, record: Record, timing: Timing, parts: Iterable[Part] = ()) -> None:
        self.record = record
        self.changed = True
        self.durable = False
        """Something was promised or is about to be: the archive must have it before the next command leaves."""
        self.just_delivered = False
        self.mismatches = 0
        """How often a complete text was not the one that the receipt is for."""
        self.fresh: list[Part] = []
        """Segments that the archive has not seen yet."""
        self.dropped = False
        """Segments in the archive are void."""
        self.texts = {kind: Assembler() for kind in KINDS.values()}
        self.verification: dict[str, Want] = {request: Want(command) for request, command in record.request_ids}
        self._timing = timing
        self._want = Want.NOTHING
        self._tries = 0
        self._due = 0.0
        self._gap_since: float | None = None
        self._silent_receipts = 0
        if record.leg is not Leg.DELIVERED:
            self._expect()
            for part in parts:
                if part.attempt == record.attempt:
                    self.texts[part.kind].add(part.number, part.data)
            self._read()

    # What the session wants, and when.

    @property
    def want(self) -> Want:
        """What would be sent next, whenever that is."""
        record = self.record
        if record.closed:
            return Want.NOTHING
        if record.cancelling and not record.cancel_heard and not record.ended and record.receipt is None:
            return Want.CANCEL
        if not record.on_board and not record.ended:
            return Want.ASK
        if record.receipt is None:
            return Want.REPORT
        if not record.ended:
            return Want.RESEND
        return Want.RELEASE

    @property
    def waits_for_answer(self) -> bool:
        """Whether the spacecraft has work to do for this query, or soon will: it takes a place in the window."""
        record = self.record
        return not record.ended and record.receipt is None and (record.on_board or record.uplinks > 0)

    @property
    def due(self) -> float:
        """Monotonic time of the next try; infinite when nothing is wanted."""
        if self.want is Want.NOTHING:
            return math.inf
        return min(self._due, self._gap_due)

    @property
    def _gap_due(self) -> float:
        return (
            math.inf if self._gap_since is None or self.want is not Want.REPORT else self._gap_since + self._timing.gap
        )

    @property
    def lapses(self) -> float:
        """Mission time at which a question that never left ends here, without the link; infinite for never."""
        record = self.record
        if record.uplinks or record.ended:
            return math.inf
        if record.cancelling:
            return record.created
        return record.created + record.asked.ttl_s if record.asked.ttl_s else math.inf

    def lapse(self, now: Instant) -> None:
        """End a question that never left: cancelled, or of no use any more."""
        if self.record.cancelling:
            self._end(Leg.CANCELLED, "cancelled", now)
        else:
            self._end(Leg.EXPIRED, "expired", now)
        self._close()

    def cancel(self, now: Instant) -> None:
        """The person wants no answer any more."""
        if not self.record.cancelling and not self.record.ended:
            self.record.cancelling = self.changed = self.durable = True
            self._tries, self._due = 0, now.mono

    def settled(self) -> None:
        """The owner has taken the changes."""
        self.changed = self.durable = self.dropped = self.just_delivered = False
        self.fresh = []

    def hurry(self, now: Instant) -> None:
        """Try at once: the spacecraft came in sight, or the station started."""
        self._tries = 0
        self._due = now.mono
        if self._gap_since is not None:
            self._gap_since = now.mono

    def command(self, now: Instant, rtt: float) -> tuple[str, dict[str, Any]] | None:
        """Name and arguments of the command that is due, and wind the timer. None when time alone settled the matter.

        `rtt` is how long an answer takes at least, in real seconds: the light time both ways and the sending.
        """
        record, want = self.record, self.want
        if want is Want.ASK and self._expired(now):
            # It may be on board although nothing was heard: that decides, a late repeat would be worse.
            want = Want.REPORT
        if want is Want.REPORT and record.ended:
            self._silent_receipts += 1
            if self._silent_receipts > RECEIPT_TRIES:
                self._close()
                return None
        args: dict[str, Any] = {"query_id": record.query_id}
        if want is Want.REPORT and self._gap_due <= now.mono:
            self._gap_since = now.mono + rtt
            return self._resend(args)
        self._tries += 1
        pause = self._timing.poll if want is Want.REPORT else self._timing.repeat
        self._due = now.mono + rtt + pause.after(self._tries)
        if want is Want.RESEND:
            return self._resend(args)
        if want is Want.ASK:
            record.uplinks += 1
            self.changed = True
            args = record.asked.ask_args(record.query_id)
        elif want is Want.RELEASE:
            assert record.receipt is not None
            args["sha256"] = bytes.fromhex(record.receipt["answer_sha256"])
        return want.value, args

    def sent(self, request: str, command: str) -> None:
        """The command leaves with this request id (hex)."""
        record = self.record
        if command != Want.REPORT:
            self.verification[request] = Want(command)
            record.request_ids = [*record.request_ids, (request, command)][-REQUESTS_KEPT:]
        self.changed = True

    def _resend(self, args: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        for name, kind in KINDS.items():
            if missing := self.texts[kind].missing(RANGES):
                ranges = [{"first": each.first, "count": each.count} for each in missing]
                return Want.RESEND.value, args | {"kind": name, "ranges": ranges}
        return None

    def _expired(self, now: Instant) -> bool:
        ttl = self.record.asked.ttl_s
        return bool(ttl) and now.mission >= self.record.created + ttl

    # What is heard.

    def heard(self, report: Report, size: int, now: Instant) -> None:
        """A report of service 130 that carries this query's id; `size` is its length on the link in bytes."""
        self.record.bytes_down += size
        self.record.heard = now.mission
        self.changed = True
        before = self.want
        match report.name:
            case "inference.segment":
                self._segment(report, now)
            case "inference.progress":
                self._progress(report, now)
            case "inference.receipt":
                self._receipt(report, now)
            case "inference.query_state":
                self._state(report, now)
        self._rewind(before, now)

    def verified(self, report: Report, request: str, size: int, now: Instant) -> None:
        """A report of service 1 for one of this query's commands."""
        record = self.record
        record.bytes_down += size
        record.heard = now.mission
        self.changed = True
        command = self.verification.get(request)
        before = self.want
        kind = report.name.removeprefix("verification.")
        reason = str(report.args.get("reason", "")) or None
        if command is Want.ASK:
            self._ask_verified(kind, reason, report, now)
        elif command is Want.CANCEL:
            if kind in ("accepted", "completed"):
                record.cancel_heard = True
                self._arrived(now)
            elif kind in ("rejected", "start_failed", "failed") and not record.on_board and not record.ended:
                # The spacecraft knows no such query: none of the questions has arrived.
                self._end(Leg.CANCELLED, "cancelled", now, report)
                self._close()
            elif kind == "rejected":
                record.cancel_heard = True
        elif command is Want.RESEND:
            if kind == "rejected" and reason == "query_unknown":
                self._forgotten(now)
            elif kind == "rejected" and reason == "released" and not record.ended:
                self._end(Leg.FAILED, reason, now, report)
                self._close()
        elif command is Want.RELEASE and kind in ("completed", "rejected"):
            # Completed: freed. Rejected: it is unknown there by now, or will be kept. Nothing is left to say.
            self._close()
        self._rewind(before, now)

    def _rewind(self, before: Want, now: Instant) -> None:
        """Set the timer for a new want; news about the old one begins its pauses anew."""
        want = self.want
        if want is before:
            return
        self._tries = 0
        patience = {Want.REPORT: self._timing.poll.first, Want.RESEND: self._timing.settle}.get(want, 0.0)
        self._due = now.mono + patience

    def _news(self, now: Instant, patience: float | None = None) -> None:
        """Something new came: the next poll waits its full pause again."""
        if self.want in (Want.REPORT, Want.RESEND):
            self._tries = 0
            usual = self._timing.poll.first if self.want is Want.REPORT else self._timing.settle
            self._due = now.mono + (usual if patience is None else patience)

    def _ask_verified(self, kind: str, reason: str | None, report: Report, now: Instant) -> None:
        record = self.record
        match kind:
            case "accepted":
                self._reopen()
                self._arrived(now)
                self._mark(Leg.ACCEPTED, report, now)
            case "started":
                self._arrived(now)
                self._mark(Leg.PREFILL, report, now)
            case "step":
                self._arrived(now)
                if report.args["step"] == "decode":
                    self._mark(Leg.DECODE, report, now)
            case "completed":
                self._arrived(now)
                self._mark(Leg.ONBOARD_DONE, report, now)
                if record.receipt is None:
                    self._news(now, self._timing.settle)
            case "rejected":
                # A late refusal of one repeat says nothing against the repeat that was accepted.
                if not record.on_board and not record.ended:
                    self._end(Leg.REJECTED, reason, now, report)
                    self._close()
            case "start_failed" | "failed":
                self._arrived(now)
                if not record.ended:
                    self._end(
                        {"cancelled": Leg.CANCELLED, "expired": Leg.EXPIRED}.get(reason or "", Leg.FAILED),
                        reason,
                        now,
                        report,
                    )
                    self._due = now.mono + self._timing.settle

    def _arrived(self, now: Instant) -> None:
        if not self.record.on_board:
            self.record.on_board = True
            self._due = now.mono + self._timing.poll.first

    def _reopen(self) -> None:
        """A repeat was accepted after another one had been refused (the queue had been full): the query lives."""
        record = self.record
        if record.leg is Leg.REJECTED:
            del record.evidence[Leg.REJECTED]
            record.leg, record.reason, record.closed = Leg.QUEUED, None, False
            self.durable = True

    def _segment(self, report: Report, now: Instant) -> None:
        record, args = self.record, report.args
        kind, attempt = KINDS[str(args["kind"])], int(args["attempt"])
        self._reopen()
        self._arrived(now)
        if record.leg is Leg.DELIVERED or not self._current(attempt):
            return
        part = Part(kind, int(args["number"]), attempt, bytes(args["data"]))
        if not self.texts[kind].add(part.number, part.data):
            return
        self.fresh.append(part)
        if record.receipt is None and not record.ended:
            self._mark(Leg.DECODE, report, now)
            if not any(text.missing(1) for text in self.texts.values()):
                self._gap_since = None
            elif self._gap_since is None:
                self._gap_since = now.mono
        self._read()
        self._finish(now)
        self._news(now)

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

    def _drop(self) -> None:
        self.texts = {kind: Assembler() for kind in KINDS.values()}
        self.fresh.clear()
        self.dropped = True
        self._gap_since = None
        self._expect()
        self._read()

    def _progress(self, report: Report, now: Instant) -> None:
        record, args = self.record, report.args
        self._reopen()
        self._arrived(now)
        done, total = int(args["done"]), int(args["total"])
        if record.ended:
            return
        if args["step"] == "prefill":
            self._mark(Leg.PREFILL, report, now)
            record.prefill_done, record.prompt_tokens = done, total or record.prompt_tokens
        else:
            self._mark(Leg.DECODE, report, now)
            record.tokens = max(record.tokens, done)
            record.tokens_per_s = float(args["tokens_per_s"] or 0.0)
        self._news(now)

    def _state(self, report: Report, now: Instant) -> None:
        record, args = self.record, report.args
        state, tokens = str(args["state"]), int(args["tokens"])
        if record.ended:
            if state in ("released", "unknown"):
                self._close()
            return
        if state == "unknown":
            self._forgotten(now)
            return
        news = state != record.state or tokens > record.tokens
        record.state, record.tokens = state, max(record.tokens, tokens)
        self._arrived(now)
        if state == "running":
            self._mark(Leg.DECODE if tokens else Leg.PREFILL, report, now)
        elif state == "released":
            # Somebody else acknowledged the answer: it is gone.
            self._end(Leg.FAILED, "released", now, report)
            self._close()
            return
        elif state != "queued" and record.receipt is None:
            self._news(now, self._timing.settle)
            return
        if news:
            self._news(now)

    def _forgotten(self, now: Instant) -> None:
        """The spacecraft has no such query: never asked, or its journal was lost. Ask, from the start."""
        record = self.record
        if self._expired(now):
            self._end(Leg.EXPIRED, "expired", now)
            self._close()
        elif record.cancelling:
            self._end(Leg.CANCELLED, "cancelled", now)
            self._close()
        elif record.on_board:
            record.on_board, record.receipt, record.attempt, record.state = False, None, 0, "unknown"
            record.verdict = None
            self._drop()
            self.durable = True

    def _receipt(self, report: Report, now: Instant) -> None:
        record, args = self.record, report.args
        self._reopen()
        self._arrived(now)
        attempt = int(args["attempt"])
        if record.receipt is not None or attempt < record.attempt or record.leg is Leg.DELIVERED:
            return
        if attempt > record.attempt:
            record.attempt = attempt
            self._drop()
        record.receipt = {name: value.hex() if isinstance(value, bytes) else value for name, value in args.items()}
        record.receipt = {name: None if value != value else value for name, value in record.receipt.items()}
        record.verdict = Verdict(str(args["verdict"]).upper())
        record.tokens, record.prompt_tokens = int(args["tokens"]), int(args["prompt_tokens"])
        self._gap_since = None
        self.durable = True
        self._expect()
        self._read()
        if args["outcome"] != "done":
            if not record.ended:
                self._end(OUTCOMES[str(args["outcome"])], str(args["reason"] or args["outcome"]), now, report)
            return
        self._mark(Leg.ONBOARD_DONE, report, now)
        if bytes(args["question_sha256"]) != record.asked.sha256:
            self._end(Leg.FAILED, "question_hash_mismatch", now, report)
            return
        self._finish(now)
        if not record.ended:
            self._mark(Leg.DOWNLINKING, report, now, time=now.mission)

    # The answer.

    def _expect(self) -> None:
        """Tell the texts what the receipt says of them."""
        receipt = self.record.receipt
        if receipt is None:
            return
        for name, kind in KINDS.items():
            if self.texts[kind].size != receipt["segment_bytes"]:
                self.texts[kind] = Assembler(int(receipt["segment_bytes"]))
            self.texts[kind].expect(int(receipt[f"{name}_bytes"]), bytes.fromhex(receipt[f"{name}_sha256"]))

    def _read(self) -> None:
        """What can be read so far: everything before the first gap, and no half character at its end."""
        record, texts = self.record, list(self.texts.values())
        record.answer, record.thinking = (text.text() for text in texts)
        totals = [text.total for text in texts]
        record.segments_total = None if record.receipt is None else sum(total or 0 for total in totals)
        record.segments_have = sum(text.have for text in texts)

    def _finish(self, now: Instant) -> None:
        """Compare, once everything is here."""
        if self.record.receipt is None or self.record.ended:
            return
        answer, thinking = self.texts.values()
        if not (answer.complete and thinking.complete):
            return
        if answer.verified and (thinking.verified or not thinking.total):
            self._end(Leg.DELIVERED, None, now)
            self.just_delivered = True
        else:
            # Not the text that the receipt is for, though every packet passed its CRC: get all of it again.
            self.mismatches += 1
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

    def _end(self, leg: Leg, reason: str | None, now: Instant, report: Report | None = None) -> None:
        if report is None:
            self.record.mark(leg, Evidence(time=now.mission, received=now.mission))
        else:
            self._mark(leg, report, now)
        self.record.leg, self.record.reason = leg, reason
        self._gap_since = None
        self.changed = self.durable = True

    def _close(self) -> None:
        self.record.closed = True
        self.changed = self.durable = True
