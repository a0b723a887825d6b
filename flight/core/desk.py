"""The commands of service 130: what may be asked of the queries on board. Sans-I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from flight.core.commander import Accept, Handler, Refused
from flight.core.moment import Moment
from flight.core.receipt import said_again
from flight.core.reporter import Reporter
from flight.core.run import KINDS
from flight.core.runner import Runner
from flight.core.scenes import HOUSEKEEPING, SceneFolder
from flight.errors import JournalError, SceneRefused
from flight.settings import CoreSettings
from flight.store import query as q
from flight.store.journal import Journal
from flight.store.query import Query
from spacelink import SEGMENT_BYTES, Command, Range, cut_ranges

MAX_SCENES = 64
"""Scenes in one report: the list's packet stays well below the longest packet."""


class Desk:
    """Takes questions in and gives word on them."""

    def __init__(
        self, settings: CoreSettings, journal: Journal, reporter: Reporter, scenes: SceneFolder, runner: Runner
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._reporter = reporter
        self._scenes = scenes
        self._runner = runner

    def handlers(self) -> dict[str, Handler]:
        """The commands that this desk carries out."""
        return {
            "inference.ask": self.ask,
            "inference.cancel": self.cancel,
            "inference.resend": self.resend,
            "inference.release": self.release,
            "inference.report": self.report,
            "inference.list_scenes": self.list_scenes,
        }

    def ask(self, command: Command, now: Moment, accept: Accept) -> bool:
        """Take a query over, once, however often it is asked."""
        args = command.args
        digest = q.digest_of(args)
        known = self._journal.find(args["query_id"])
        before = known.digest if known else self._journal.tombstone(args["query_id"])
        if before is not None:
            if before and before != digest:  # of a query that was lost nothing is left to compare with
                raise Refused("id_conflict", "the id is in use with other content")
            accept()
            return False
        try:
            expires = self._check(args, now)
            query = self._journal.accept(args, digest, command.request_id, now.mission, expires)
        except Refused:
            self._runner.refused += 1
            raise
        except JournalError as error:
            self._runner.refused += 1
            raise Refused("storage_full", str(error)) from error
        accept()
        self._runner.enqueue(query)
        return False

    def _check(self, args: Mapping[str, Any], now: Moment) -> float | None:
        """Whether a new query can be taken; returns when it expires."""
        self._check_question(args["question"])
        if self._runner.safe:
            raise Refused("safe_mode")
        if self._journal.full():
            raise Refused("storage_full", "answers wait for their release")
        if self._runner.waiting >= self._settings.queue_length:
            raise Refused("queue_full", f"{self._settings.queue_length} queries wait")
        self._check_scene(args["scene"])
        self._check_parent(args["parent"])
        return now.mission + args["ttl_s"] if args["ttl_s"] else None

    def cancel(self, command: Command, now: Moment, accept: Accept) -> bool:
        """End a query that is open."""
        query = self._find(command)
        if query.state not in q.OPEN:
            raise Refused("released" if query.state == q.RELEASED else "already_final")
        accept()
        self._runner.cancel(query, now)
        return True

    def resend(self, command: Command, now: Moment, accept: Accept) -> bool:
        """Send segments again; of a query that runs, those that are full."""
        query = self._find(command)
        if query.is_lost:
            raise Refused(q.DAMAGED, "its text is damaged in every copy")
        if query.state == q.RELEASED and query.answer is None:
            raise Refused("released")
        accept()
        kind = command.args["kind"]
        run = self._runner.active
        if run is not None and run.query.id == query.id:
            query = run.query
            text = run.drafts[kind].longest
            text = text[: len(text) // SEGMENT_BYTES * SEGMENT_BYTES]
        else:
            text = (query.answer if kind == KINDS[0] else query.thinking) or b""
        ranges = [Range(one["first"], one["count"]) for one in command.args["ranges"]]
        said = {"query_id": query.id, "kind": kind, "attempt": min(query.attempt, 255)}
        for segment in cut_ranges(text, ranges):
            self._reporter.report("inference.segment", {**said, "number": segment.number, "data": segment.data}, now)
        return True

    def release(self, command: Command, now: Moment, accept: Accept) -> bool:
        """Ground has the whole answer: free it."""
        query_id = command.args["query_id"]
        query = self._journal.find(query_id)
        if query is None and self._journal.tombstone(query_id) is None:
            raise Refused("query_unknown")
        if query is not None and query.state != q.RELEASED:
            if query.state not in q.FINAL:
                raise Refused("not_releasable", f"the query is {query.state}")
            if hashlib.sha256(query.answer or b"").digest() != command.args["sha256"]:
                raise Refused("not_releasable", "the hash is not that of the answer on board")
            self._journal.release(query)
        accept()
        self._state(query_id, now)
        return True

    def report(self, command: Command, now: Moment, accept: Accept) -> bool:
        """Say where a query stands, with the receipt when it has ended."""
        accept()
        query = self._journal.find(command.args["query_id"])
        if query is not None and query.receipt is not None and query.state != q.RELEASED:
            self._reporter.report("inference.receipt", said_again(query.receipt), now)
        self._state(command.args["query_id"], now)
        return True

    def list_scenes(self, command: Command, now: Moment, accept: Accept) -> bool:
        """Say which scenes are on board, newest first."""
        accept()
        scenes = [
            {"name": scene.name, "bytes": len(scene.data), "sha256": scene.sha256[:8]}
            for scene in self._scenes.all()[:MAX_SCENES]
        ]
        self._reporter.report("inference.scenes", {"scenes": scenes}, now)
        return True

    def _state(self, query_id: int, now: Moment) -> None:
        query = self._journal.find(query_id)
        state, tokens, reason = q.UNKNOWN, 0, "none"
        if query is not None:
            state, reason = query.state, query.reason or "none"
            tokens = query.receipt["tokens"] if query.receipt else 0
            run = self._runner.active
            if run is not None and run.query.id == query_id:
                tokens = run.tokens
        elif self._journal.tombstone(query_id) is not None:
            state = q.RELEASED
        said = {"query_id": query_id, "state": state, "tokens": tokens, "reason": reason}
        self._reporter.report("inference.query_state", said, now)

    def _find(self, command: Command) -> Query:
        """The query that a command speaks of, or why there is none."""
        query_id = command.args["query_id"]
        query = self._journal.find(query_id)
        if query is None:
            raise Refused("released" if self._journal.tombstone(query_id) is not None else "query_unknown")
        return query

    def _check_question(self, question: bytes) -> None:
        try:
            text = question.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused("question_not_utf8", f"byte {error.start} is not UTF-8") from None
        if not text.strip():
            raise Refused("question_empty", "expected a text, found only spaces")

    def _check_scene(self, name: str) -> None:
        if name and name != HOUSEKEEPING:
            try:
                self._scenes.load(name)
            except SceneRefused as refusal:
                raise Refused(refusal.reason, str(refusal)) from None

    def _check_parent(self, parent: int) -> None:
        if not parent:
            return
        query = self._journal.find(parent)
        if query is None or query.messages is None:
            raise Refused("parent_unknown", "its text is not on board")
        if query.receipt is None or query.receipt["outcome"] != "done":
            raise Refused("parent_not_done")
