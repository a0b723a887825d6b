"""A query whose run broke off: made again, resumed, tried again after a fault, given up with its reason."""

from __future__ import annotations

import hashlib

import pytest

from flight.inference.protocol import Failed, Refused
from models.prompt import user_message
from tests.flight.core.bench import Bench, finish, messages, scene, text_for

EVIL = b'[{"role":"user","content":"Evil"}]'


class TestRunAgain:
    def test_a_run_made_again_sends_only_what_is_new(self, bench: Bench) -> None:
        bench.ready()
        bench.ask(1)
        bench.engine.write(100, bench.now)
        bench.engine_lost()
        bench.ready()
        finish(bench)
        numbers = [one.args["number"] for one in bench.said("inference.segment")]
        assert numbers == sorted(set(numbers)), "a segment was sent twice"
        word = bench.said("inference.receipt")[0].args
        assert (word["restarts"], word["attempt"]) == (1, 0)
        assert bench.events("inference.query_resumed") == [{"query_id": 1, "restarts": 1}]

    @pytest.mark.parametrize("crash", ["engine", "core"])
    @pytest.mark.parametrize("shorter", [False, True])
    def test_other_text_is_another_attempt(self, bench: Bench, crash: str, shorter: bool) -> None:
        """Text that differs from what was sent, or stops before it: event, attempt 1, all segments again."""
        bench.ready()
        bench.ask(1)
        bench.engine.write(90, bench.now)
        sent = bench.engine.text
        if crash == "engine":
            bench.engine_lost()
        else:
            bench.crash()
        bench.ready()
        bench.engine.text = sent[:80] if shorter else b"#" + sent[1:]
        finish(bench)
        assert bench.events("inference.text_differs") == [{"query_id": 1, "attempt": 1}]
        word = bench.said("inference.receipt")[0].args
        assert word["attempt"] == 1
        segments = {
            one.args["number"]: one.args["data"] for one in bench.said("inference.segment") if one.args["attempt"] == 1
        }
        joined = b"".join(segments[number] for number in sorted(segments))
        assert hashlib.sha256(joined).digest() == word["answer_sha256"]
        assert bench.joined(1) == joined

    def test_latest_is_frozen_at_the_start(self, bench: Bench) -> None:
        """A resume never sees another `latest`, not even after the death of core."""
        scene(bench, "first", "FIRES\nfirst\n")
        bench.ready()
        bench.ask(1, scene="latest")
        before = messages(bench)
        scene(bench, "second", "FIRES\nsecond\n")
        bench.crash()
        bench.ready()
        assert messages(bench) == before == [("user", user_message("FIRES\nfirst\n", "What?"))]

    def test_a_damaged_frozen_prompt_is_taken_from_the_copy(self, bench: Bench) -> None:
        bench.ready()
        bench.ask(1)
        before = messages(bench)
        bench.journals[-1]._main.db.execute("UPDATE queries SET messages = ?", (EVIL,))
        bench.crash()
        bench.ready()
        assert messages(bench) == before
        assert bench.events("store.rows_mended") == [{"rows": 1, "file": "journal.sqlite"}]

    def test_a_prompt_that_is_damaged_in_every_copy_is_not_run(self, bench: Bench) -> None:
        """The query fails, once, and says why; a repeat of the question runs nothing."""
        bench.ready()
        bench.ask(1)
        for shelf in (bench.journals[-1]._main, bench.journals[-1]._copy):
            assert shelf is not None
            shelf.db.execute("UPDATE queries SET messages = ?", (EVIL,))
        bench.crash()
        bench.ready()
        assert bench.engine.run is None
        assert bench.events("store.query_damaged") == [{"query_id": 1}]
        word = bench.said("inference.receipt", query_id=1)[0].args
        assert (word["outcome"], word["reason"], word["answer_bytes"]) == ("failed", "state_damaged", 0)
        assert bench.state(1) == "failed"
        assert bench.verdict(bench.ask(1)) == "accepted"
        assert bench.verdict(bench.command("inference.resend", {"query_id": 1})) == "state_damaged"
        bench.crash()
        assert bench.events("store.query_damaged") == [{"query_id": 1}]

    def test_a_fault_is_tried_again_and_then_told(self, bench: Bench) -> None:
        bench.ready()
        request = bench.ask(1)
        for _ in range(bench.settings.core.query_failures):
            assert not bench.said("verification.failed")
            run, bench.engine.run = bench.engine.run, None
            assert run is not None
            bench.engine.tell(Failed(id=run.id, reason="numeric_fault", detail="NaN"), bench.now)
            bench.pump()
        assert bench.said("verification.failed", request_id=request)[0].args["reason"] == "numeric_fault"
        assert bench.state(1) == "failed"

    def test_an_engine_that_leaves_after_a_fault_is_one_fault(self, bench: Bench) -> None:
        """The engine tells of a fault and leaves for a fresh start: that counts once against the query."""
        bench.ready()
        bench.ask(1)
        run, bench.engine.run = bench.engine.run, None
        assert run is not None
        bench.engine.tell(Failed(id=run.id, reason="numeric_fault", detail="NaN"), bench.now)
        bench.core.pump(bench.now)  # handed over again, to an engine that reads no more
        bench.engine_lost()
        found = bench.journals[-1].find(1)
        assert found is not None
        assert (found.failures, found.restarts) == (1, 2)
        bench.ready()
        bench.engine.write(1, bench.now)
        bench.engine_lost()
        found = bench.journals[-1].find(1)
        assert found is not None
        assert found.failures == 2

    def test_an_engine_that_miscounts_its_own_text_is_not_believed(self, bench: Bench) -> None:
        """The hash of the text must be that of the bytes that came; else the run is made again."""
        bench.ready()
        bench.ask(1)
        bench.engine.write(10, bench.now)
        run = bench.engine.run
        assert run is not None
        bench.core.runner.active.drafts["answer"]._text[0] ^= 1  # type: ignore[union-attr]
        bench.engine.finish(bench.now)
        assert not bench.said("inference.receipt")
        bench.pump()
        finish(bench)
        assert bench.joined(1) == text_for(run)

    def test_overflow_is_told_with_its_reason(self, bench: Bench) -> None:
        bench.ready()
        request = bench.ask(1)
        run, bench.engine.run = bench.engine.run, None
        assert run is not None
        bench.engine.tell(Refused(id=run.id, reason="context_overflow", detail="2000 > 1024"), bench.now)
        failed = bench.said("verification.failed", request_id=request)[0].args
        assert (failed["reason"], failed["detail"]) == ("context_overflow", "2000 > 1024")
