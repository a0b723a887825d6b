"""What becomes of one query: accepted, run, answered, sent again, expired, freed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flight.inference.protocol import Text
from tests.flight.core.bench import FACTS, Bench, finish, scene


class TestLife:
    def test_the_reports_come_in_the_order_of_what_happened(self, bench: Bench) -> None:
        bench.ready()
        request = bench.ask(1)
        bench.engine.write(70, bench.now)
        finish(bench)
        names = [
            one.name for one in bench.heard if one.args.get("request_id") == request or one.args.get("query_id") == 1
        ]
        assert [name for name in names if name != "inference.progress"] == [
            "verification.accepted",
            "verification.started",
            "verification.step",
            "inference.segment",
            "verification.step",
            "inference.receipt",
            *["inference.segment"] * (names.count("inference.segment") - 1),
            "verification.completed",
        ]

    def test_segments_leave_as_they_fill(self, bench: Bench) -> None:
        bench.ready()
        bench.ask(1)
        bench.engine.write(63, bench.now)
        assert not bench.said("inference.segment")
        bench.engine.write(1, bench.now)
        assert [one.args["number"] for one in bench.said("inference.segment")] == [0]

    def test_the_receipt_tells_what_was_asked_and_answered(self, bench: Bench) -> None:
        scene(bench, "bay", "VESSELS\nV1 …\n")
        bench.ready()
        bench.time += 5
        bench.ask(1, "Why?", scene="bay", seed=9)
        finish(bench)
        word = bench.said("inference.receipt")[0].args
        assert word["question_sha256"] == hashlib.sha256(b"Why?").digest()
        assert word["answer_sha256"] == hashlib.sha256(bench.joined(1)).digest()
        assert word["scene_sha256"] == hashlib.sha256("VESSELS\nV1 …\n".encode()).digest()
        assert (word["scene_bytes"], word["seed"], word["segment_bytes"]) == (15, 9, 64)
        assert (word["verdict"], word["authenticated"], word["energy_source"]) == ("verified", False, "none")
        assert word["energy_j"] != word["energy_j"], "unknown energy is NaN, never zero"
        assert (word["model"], word["prompt_tokens"], word["stop"]) == ("pocket", 9, "eos")
        assert word["ended_ms"] == int(1000 * bench.now.mission)

    def test_the_receipt_tells_what_its_rounding_was_pinned_by(self, bench: Bench) -> None:
        """Another build, context or batch may give another text: who repeats an answer needs the same."""
        bench.ready()
        bench.ask(1)
        finish(bench)
        word = bench.said("inference.receipt")[0].args
        pinned = (FACTS.threads, FACTS.n_ctx, FACTS.n_batch, FACTS.n_ubatch)
        assert (word["threads"], word["n_ctx"], word["n_batch"], word["n_ubatch"]) == pinned
        assert word["build_sha256"] == hashlib.sha256(FACTS.build.encode()).digest()

    def test_one_query_runs_at_a_time_in_the_order_of_acceptance(self, bench: Bench) -> None:
        for query_id in (3, 1, 2):
            bench.ask(query_id)
        bench.ready()
        order = []
        while bench.engine.run is not None:
            order.append(int(bench.engine.run.id, 16))
            finish(bench)
        assert order == [3, 1, 2]

    def test_time_in_the_queue_is_told(self, bench: Bench) -> None:
        bench.ask(1)
        bench.time += 2.5
        bench.ready()
        finish(bench)
        assert bench.said("inference.receipt")[0].args["queued_ms"] == 2500

    def test_progress_is_told_no_more_often_than_set(self, bench: Bench) -> None:
        bench.ready()
        bench.ask(1)
        for _ in range(50):
            bench.engine.write(1, bench.now)
        told = [one.args["step"] for one in bench.said("inference.progress")]
        assert told == ["prefill"]
        bench.time += bench.settings.core.progress_s
        bench.engine.write(1, bench.now)
        last = bench.said("inference.progress")[-1].args
        assert (last["step"], last["done"]) == ("decode", 51)

    def test_a_late_word_on_an_ended_query_is_ignored(self, bench: Bench) -> None:
        bench.ready()
        bench.ask(1)
        run = bench.engine.run
        assert run is not None
        finish(bench)
        heard = len(bench.heard)
        bench.engine.tell(Text(id=run.id, tokens=5, answer=b"ghost", thinking=b""), bench.now)
        assert len(bench.heard) == heard


def test_a_journal_that_was_set_aside_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"no database" * 100)
    bench = Bench(tmp_path)
    assert bench.events("store.journal_set_aside") == [{"file": "journal.sqlite.damaged"}]
    bench.close()


def test_of_a_freed_query_only_the_id_is_left_and_it_runs_nothing(tmp_path: Path) -> None:
    """A late repeat is accepted and runs nothing, other content is refused, and every command knows it is released."""
    bench = Bench(tmp_path, {"released": 0})
    bench.ready()
    bench.ask(1)
    finish(bench)
    digest = hashlib.sha256(bench.joined(1)).digest()
    release = {"query_id": 1, "sha256": digest}
    assert bench.verdict(bench.command("inference.release", release)) == "accepted"
    assert bench.journals[-1].find(1) is None
    bench.crash()
    bench.ready()
    assert bench.verdict(bench.ask(1)) == "accepted"
    assert bench.engine.run is None
    assert bench.verdict(bench.ask(1, "Something else?")) == "id_conflict"
    assert bench.state(1) == "released"
    assert bench.verdict(bench.command("inference.release", release)) == "accepted"
    for name in ("cancel", "resend"):
        assert bench.verdict(bench.command(f"inference.{name}", {"query_id": 1})) == "released"
    assert bench.verdict(bench.ask(2, parent=1)) == "parent_unknown"
    bench.close()


class TestTime:
    def test_a_query_that_waits_too_long_expires(self, bench: Bench) -> None:
        request = bench.ask(1, ttl_s=60)
        bench.time += 59
        bench.pump()
        assert bench.state(1) == "queued"
        bench.time += 1
        bench.pump()
        assert bench.said("inference.receipt")[0].args["outcome"] == "expired"
        assert bench.said("verification.failed", request_id=request)[0].args["reason"] == "expired"

    def test_a_query_that_runs_too_long_expires_with_the_text_so_far(self, bench: Bench) -> None:
        bench.ready()
        bench.ask(1, ttl_s=60)
        bench.engine.write(70, bench.now)
        bench.time += 60
        bench.pump()
        word = bench.said("inference.receipt")[0].args
        assert (word["outcome"], word["stop"], word["answer_bytes"]) == ("expired", "cancelled", 70)
        assert len(bench.joined(1)) == 70

    def test_expiry_is_kept_over_the_death_of_core(self, bench: Bench) -> None:
        bench.ask(1, ttl_s=60)
        bench.crash()
        bench.time += 61
        bench.pump()
        assert bench.state(1) == "expired"

    def test_nothing_starts_while_it_is_too_hot(self, bench: Bench) -> None:
        bench.ready()
        bench.core.sensors({"CPU_T": 96.0}, bench.now)
        bench.ask(1)
        assert bench.engine.run is None
        bench.core.sensors({"CPU_T": None}, bench.now)
        bench.pump()
        assert bench.engine.run is None, "an unknown temperature is not a cool one"
        bench.core.sensors({"CPU_T": 80.0}, bench.now)
        bench.pump()
        assert bench.engine.run is not None


class TestResend:
    def test_ranges_that_exist_are_sent(self, bench: Bench) -> None:
        bench.ready()
        bench.ask(1)
        finish(bench)
        since = len(bench.heard)
        ranges = [{"first": 1, "count": 1}, {"first": 3, "count": 900}]
        bench.command("inference.resend", {"query_id": 1, "ranges": ranges})
        numbers = [one.args["number"] for one in bench.said("inference.segment", since)]
        total = -(-len(bench.joined(1)) // 64)
        assert numbers == [1, *range(3, total)]

    def test_of_a_query_that_runs_only_full_segments_are_sent(self, bench: Bench) -> None:
        bench.ready()
        bench.ask(1)
        bench.engine.write(100, bench.now)
        assert len(bench.joined(1)) == 64

    @pytest.mark.parametrize("name", ["cancel", "resend", "release"])
    def test_unknown_queries(self, bench: Bench, name: str) -> None:
        args = {"query_id": 5, **({"sha256": bytes(32)} if name == "release" else {})}
        assert bench.verdict(bench.command(f"inference.{name}", args)) == "query_unknown"
        assert bench.state(5) == "unknown"
