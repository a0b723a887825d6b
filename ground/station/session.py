"""One query's conversation with the spacecraft. Sans-I/O: reports and `now` in, commands out.

The session wants one thing at a time (`Want`), in this order: cancel, ask, report, resend, release. It knows when the
next try is `due`; whoever owns the link calls `command` then. What is known stands in the `Story`; all that matters is
in its record and segments, so a session made anew from the archive continues where the last one stood.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from ground.instant import Instant
from ground.legs import Leg
from ground.record import Record
from ground.station.parts import Part
from ground.station.story import News, Story
from ground.station.texts import Texts
from ground.station.timing import Timing
from spacelink import Report
from spacelink.segments import MOST_SEGMENTS

REQUESTS_KEPT = 32
"""Request ids remembered of one query: older ones are answered too late to matter."""

RANGES = 32
"""Gaps named in one command: a short telecommand survives noise better than one that names all 200."""

LONGEST_RANGE = 1024
"""Segments asked for in one range (64 KiB of text): a claim of more is met piece by piece."""

RECEIPT_TRIES = 5
"""How often the receipt of a query that failed is asked for: it explains, but nothing depends on it."""


class Want(StrEnum):
    """What the session wants from the link; the value is the command's name."""

    ASK = "inference.ask"
    CANCEL = "inference.cancel"
    REPORT = "inference.report"
    RESEND = "inference.resend"
    RELEASE = "inference.release"
    NOTHING = ""


class Session:
    """Decides what to send for one query, and when."""

    def __init__(self, record: Record, timing: Timing, parts: Iterable[Part] = ()) -> None:
        self.record = record
        self.texts = Texts()
        self.texts.restore(parts, record.attempt)
        self.story = Story(record, self.texts)
        self._verification = {request: Want(command) for request, command in record.request_ids}
        self._timing = timing
        self._tries = 0
        self._due = 0.0
        self._gap_since: float | None = None
        self._receipt_tries = 0

    @property
    def requests(self) -> Iterable[str]:
        """Request ids (hex) whose reports belong to this session."""
        return self._verification

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
        return math.inf if self.want is Want.NOTHING else min(self._due, self._gap_due)

    @property
    def _gap_due(self) -> float:
        if self._gap_since is None or self.want is not Want.REPORT:
            return math.inf
        return self._gap_since + self._timing.gap

    # What people do, and time.

    def cancel(self, now: Instant) -> None:
        """The person wants no answer any more."""
        if not self.record.cancelling and not self.record.ended:
            self.record.cancelling = self.story.changed = self.story.durable = True
            self._tries, self._due = 0, now.mono

    def hurry(self, now: Instant) -> None:
        """Try at once: the spacecraft came in sight, or the station started."""
        self._tries, self._due = 0, now.mono
        if self._gap_since is not None:
            self._gap_since = now.mono

    @property
    def lapses(self) -> float:
        """Mission time at which a question that never left ends here, without the link; infinite for never."""
        record = self.record
        if record.uplinks or record.ended:
            return math.inf
        return record.created if record.cancelling else self.story.expired

    def lapse(self, now: Instant) -> None:
        """End a question that never left: cancelled, or of no use any more."""
        leg, reason = (Leg.CANCELLED, "cancelled") if self.record.cancelling else (Leg.EXPIRED, "expired")
        self.story.end(leg, reason, now)
        self.story.close()

    # Commands.

    def command(self, now: Instant, rtt: float) -> tuple[str, dict[str, Any]] | None:
        """Name and arguments of the command that is due, and wind the timer; None when nothing is to be said after all.

        `rtt` is how long an answer takes at least, in real seconds: the light time both ways.
        """
        record, want = self.record, self.want
        if want is Want.ASK and now.mission >= self.story.expired:
            # It may be on board although nothing was heard: that decides, a late repeat would be worse.
            want = Want.REPORT
        if want is Want.REPORT and record.ended:
            self._receipt_tries += 1
            if self._receipt_tries > RECEIPT_TRIES:
                self.story.close()
                return None
        if want is Want.REPORT and self._gap_due <= now.mono:
            self._gap_since = now.mono + rtt
            return self._resend()
        self._tries += 1
        pause = self._timing.poll if want is Want.REPORT else self._timing.repeat
        self._due = now.mono + rtt + pause.after(self._tries)
        args: dict[str, Any] = {"query_id": record.query_id}
        match want:
            case Want.RESEND:
                return self._resend()
            case Want.ASK:
                record.uplinks += 1
                args = record.asked.ask_args(record.query_id)
            case Want.RELEASE:
                assert record.receipt is not None
                args["sha256"] = bytes.fromhex(record.receipt["answer_sha256"])
        return want.value, args

    def _resend(self) -> tuple[str, dict[str, Any]] | None:
        missing = self.texts.missing(RANGES)
        if missing is None:
            return None
        name, gaps = missing
        ranges = [
            {"first": gap.first, "count": min(gap.count, MOST_SEGMENTS - gap.first, LONGEST_RANGE)}
            for gap in gaps
            if gap.first < MOST_SEGMENTS
        ]
        return Want.RESEND.value, {"query_id": self.record.query_id, "kind": name, "ranges": ranges}

    def sent(self, request: str, command: str) -> None:
        """The command leaves with this request id (hex)."""
        if command != Want.REPORT:
            self._verification[request] = Want(command)
            self.record.request_ids = [*self.record.request_ids, (request, command)][-REQUESTS_KEPT:]
        self.story.changed = True

    # What is heard.

    def heard(self, report: Report, size: int, now: Instant) -> None:
        """A report of service 130 that carries this query's id; `size` is its length on the link in bytes."""
        before = self.want
        self.story.touched(size, now)
        self._wind(before, self.story.heard(report, now), now)

    def verified(self, report: Report, request: str, size: int, now: Instant) -> None:
        """A report of service 1 for one of this query's commands."""
        before, news = self.want, News.NOTHING
        self.story.touched(size, now)
        kind = report.name.removeprefix("verification.")
        reason = str(report.args.get("reason", ""))
        match self._verification.get(request):
            case Want.ASK:
                news = self.story.ask_verified(kind, reason, report, now)
            case Want.CANCEL:
                self._cancel_verified(kind, report, now)
            case Want.RESEND if kind == "rejected" and reason == "query_unknown":
                self.story.forgotten(now)
            case Want.RESEND if kind == "rejected" and reason == "state_damaged" and not self.record.ended:
                self.story.end(Leg.FAILED, reason, now, report)
            case Want.RESEND if kind == "rejected" and reason == "released" and not self.record.ended:
                self.story.gone(report, now)
            case Want.RELEASE if kind in ("completed", "rejected"):
                # Completed: freed. Rejected: it is unknown there by now, or will be kept. Nothing is left to say.
                self.story.close()
        self._wind(before, news, now)

    def _cancel_verified(self, kind: str, report: Report, now: Instant) -> None:
        record = self.record
        if kind in ("accepted", "completed"):
            record.cancel_heard = True
            self.story.arrived()
        elif record.on_board:
            record.cancel_heard = True
        elif not record.ended:
            # The spacecraft knows no such query. One of the questions may still be on its way: a report will tell.
            self.story.end(Leg.CANCELLED, "cancelled", now, report)

    def _wind(self, before: Want, news: News, now: Instant) -> None:
        """Set the timer: a new want begins its pauses anew, and so does the poll when there was news."""
        want = self.want
        if self.texts.missing(1) is None or self.record.receipt is not None or self.record.ended:
            self._gap_since = None
        elif self._gap_since is None:
            self._gap_since = now.mono
        if want is before and (news is News.NOTHING or want not in (Want.REPORT, Want.RESEND)):
            return
        patience = {Want.REPORT: self._timing.poll.first, Want.RESEND: self._timing.settle}.get(want, 0.0)
        if want is Want.REPORT and news is News.RECEIPT_IS_DUE:
            patience = self._timing.settle
        self._tries, self._due = 0, now.mono + patience
