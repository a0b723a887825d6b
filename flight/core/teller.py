"""What leaves of a query while it runs: segments as they fill, and how far it has come. Its draft is kept beside."""

from __future__ import annotations

from collections.abc import Iterable

from flight.core.moment import Moment
from flight.core.reporter import Reporter
from flight.core.run import KINDS, ActiveRun
from flight.inference.protocol import Text
from flight.store.draft import DraftFile
from flight.store.journal import Journal
from flight.store.query import Query
from spacelink import Segment


class Teller:
    """Tells ground of one run at a time, and the draft file for a core that comes after this one."""

    def __init__(self, journal: Journal, reporter: Reporter, draft_file: DraftFile, progress_s: float) -> None:
        """`progress_s`: least time between two reports of progress."""
        self._journal = journal
        self._reporter = reporter
        self._draft_file = draft_file
        self._progress_s = progress_s

    def begin(self, run: ActiveRun) -> None:
        """A run goes to the engine."""
        self._draft_file.begin(run.query.id, run.query.attempt)

    def before(self, query: Query) -> tuple[bytes, bytes]:
        """What an earlier core had of the query's texts, in the order of `KINDS`."""
        return self._draft_file.read(query.id, query.attempt)

    def text(self, run: ActiveRun, message: Text, now: Moment) -> None:
        """New bytes of the engine: the segments that they fill go out."""
        if run.decoding_since is None:
            run.decoding_since = now.monotonic
        same = True
        for number, kind in enumerate(KINDS):
            delta: bytes = getattr(message, kind)
            self._draft_file.append(number, delta)
            segments = run.drafts[kind].feed(delta) if delta else []
            same = same and segments is not None
            if same and segments:
                self.send(run.query, ((kind, segment) for segment in segments), now)
        if not same:
            self.differs(run, now)
        run.tokens = message.tokens
        elapsed = now.monotonic - run.decoding_since
        self.progress(run, message.tokens, 0, message.tokens / elapsed if elapsed > 0 else None, now)

    def differs(self, run: ActiveRun, now: Moment) -> None:
        """The text is not what was sent before: the next attempt, from its start."""
        run.query = self._journal.differs(run.query)
        attempt = min(run.query.attempt, 255)
        self._reporter.event("inference.text_differs", {"query_id": run.query.id, "attempt": attempt}, now)
        self._draft_file.begin(run.query.id, attempt)
        for number, kind in enumerate(KINDS):
            self._draft_file.append(number, run.drafts[kind].text)
        self.send(run.query, run.void(), now)

    def send(self, query: Query, segments: Iterable[tuple[str, Segment]], now: Moment) -> None:
        """Segments go out."""
        for kind, segment in segments:
            said = {"query_id": query.id, "kind": kind, "number": segment.number, "attempt": min(query.attempt, 255)}
            self._reporter.report("inference.segment", {**said, "data": segment.data}, now)

    def progress(self, run: ActiveRun, done: int, total: int, rate: float | None, now: Moment) -> None:
        """Say how far it has come, no more often than the settings allow."""
        if now.monotonic < run.next_progress:
            return
        run.next_progress = now.monotonic + self._progress_s
        said = {"query_id": run.query.id, "step": run.step, "done": done, "total": total, "tokens_per_s": rate}
        self._reporter.report_if_room("inference.progress", said, now)

    def end(self) -> None:
        """The query has its final word."""
        self._draft_file.clear()
