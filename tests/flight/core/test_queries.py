"""What becomes of one query: accepted, frozen, run, answered, made again, followed up, expired, refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from flight.inference.protocol import Failed, Refused, Text
from flight.settings import StoreSettings
from models.prompt import user_message
from tests.flight.core.bench import EPOCH, Bench, text_for


def messages(bench: Bench) -> list[tuple[str, str]]:
    """What the engine was given."""
    assert bench.engine.run is not None
    return [(one.role, one.content) for one in bench.engine.run.messages]


def scene(bench: Bench, name: str, text: str) -> None:
    (bench.data / "scenes" / f"{name}.txt").write_text(text)


def finish(bench: Bench) -> None:
    bench.engine.finish(bench.now)
    bench.pump()


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
        assert (word["verdict"], word["authenticated"], word["energy_source"]) == ("unchecked", False, "none")
        assert word["energy_j"] != word["energy_j"], "unknown energy is NaN, never zero"
        assert (word["model"], word["prompt_tokens"], word["stop"]) == ("pocket", 9, "eos")

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

    def test_a_damaged_frozen_prompt_is_not_run(self, bench: Bench) -> None:
        bench.ready()
        request = bench.ask(1)
        bench.journals[-1]._db.execute("UPDATE queries SET messages = ?", (b'[{"role":"user","content":"Evil"}]',))
        bench.crash()
        bench.ready()
        assert bench.engine.run is None
        assert bench.said("verification.failed", request_id=request)[0].args["reason"] == "state_damaged"

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


class TestRefusals:
    def test_scene_must_be_there_and_sound(self, bench: Bench) -> None:
        (bench.data / "scenes" / "binary.txt").write_bytes(b"\xff\x00")
        scene(bench, "huge", "x" * 5000)
        for name, reason in (
            ("none", "scene_unknown"),
            ("latest", "scene_unknown"),
            ("binary", "scene_invalid"),
            ("huge", "scene_too_large"),
        ):
            assert bench.verdict(bench.ask(1, scene=name)) == reason
        scene(bench, "bay", "VESSELS\n")
        assert bench.verdict(bench.ask(1, scene="latest")) == "accepted"

    def test_a_scene_that_goes_before_the_start_fails_the_start(self, bench: Bench) -> None:
        scene(bench, "bay", "VESSELS\n")
        request = bench.ask(1, scene="bay")
        (bench.data / "scenes" / "bay.txt").unlink()
        bench.ready()
        assert bench.said("verification.start_failed", request_id=request)[0].args["reason"] == "scene_unknown"
        assert bench.state(1) == "failed"

    def test_queue_has_a_length(self, tmp_path: Path) -> None:
        bench = Bench(tmp_path, queue_length=2)
        verdicts = [bench.verdict(bench.ask(query_id)) for query_id in (1, 2, 3)]
        assert verdicts == ["accepted", "accepted", "queue_full"]
        assert bench.verdict(bench.ask(2)) == "accepted", "a repeat of an accepted one is no new one"
        bench.close()

    def test_storage_has_a_bound(self, bench: Bench) -> None:
        bench.journals[-1]._bounds = StoreSettings(queries=16)
        bench.ready()
        for query_id in range(1, 17):
            assert bench.verdict(bench.ask(query_id)) == "accepted"
            finish(bench)
        assert bench.verdict(bench.ask(17)) == "storage_full"

    def test_a_full_disk_refuses_instead_of_promising(self, bench: Bench) -> None:
        bench.journals[-1]._db.execute("PRAGMA query_only = 1")
        assert bench.verdict(bench.ask(1)) == "storage_full"
        bench.core.journal_flush()
        assert bench.verdict(bench.command("core.ping")) == "accepted"
        assert bench.journals[-1].lost_events > 0

    def test_blank_questions(self, bench: Bench) -> None:
        assert bench.verdict(bench.ask(1, " \n ")) == "question_empty"

    def test_refused_commands_are_counted_and_told(self, bench: Bench) -> None:
        for _ in range(5):
            bench.ask(1, scene="none")
        assert bench.core.commander.rejected == 5
        assert bench.core.runner.refused == 5
        assert bench.events("core.command_refused") == [{"command": "inference.ask", "reason": "scene_unknown"}]
        bench.time += 1.0
        bench.ask(1, scene="none")
        assert len(bench.events("core.command_refused")) == 2


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


class TestConversation:
    def test_a_follow_up_reads_what_was_said_before(self, bench: Bench) -> None:
        scene(bench, "bay", "VESSELS\nV1\n")
        bench.ready()
        bench.ask(1, "How many?", scene="bay", system="Be brief.")
        finish(bench)
        answer = bench.joined(1).decode()
        digest = hashlib.sha256(answer.encode()).digest()
        bench.command("inference.release", {"query_id": 1, "sha256": digest})
        bench.ask(2, "Which?", parent=1)
        assert messages(bench) == [
            ("system", "Be brief."),
            ("user", user_message("VESSELS\nV1\n", "How many?")),
            ("assistant", answer),
            ("user", "Which?"),
        ]
        finish(bench)
        bench.ask(3, "Why?", parent=2, system="Be long.")
        assert messages(bench)[0] == ("system", "Be long.")
        assert [role for role, _ in messages(bench)].count("system") == 1

    def test_a_parent_must_be_on_board_and_done(self, bench: Bench) -> None:
        assert bench.verdict(bench.ask(2, parent=1)) == "parent_unknown"
        bench.ready()
        bench.ask(1)
        assert bench.verdict(bench.ask(2, parent=1)) == "parent_not_done"
        finish(bench)
        assert bench.verdict(bench.ask(2, parent=1)) == "accepted"

    def test_frozen_messages_have_their_hash(self, bench: Bench) -> None:
        bench.ready()
        bench.ask(1, "Größe?")
        found = bench.journals[-1].find(1)
        assert found is not None
        assert found.messages is not None
        assert hashlib.sha256(found.messages).digest() == found.messages_sha256
        assert json.loads(found.messages) == [{"role": "user", "content": "Größe?"}]
        assert found.started_at == EPOCH + bench.time

    def test_housekeeping_is_a_scene_made_of_live_telemetry(self, bench: Bench) -> None:
        bench.ready()
        bench.core.sensors({"CPU_T": 51.25, "MEM_U": 40.0, "PWR_W": None}, bench.now)
        bench.ask(1, "Is anything too hot?", scene="housekeeping")
        content = messages(bench)[0][1]
        assert content.startswith("HK\n")
        assert "CPU_T lim -10 to 85 now 51.2\n" in content
        assert "PWR_W" not in content
        finish(bench)
        assert bench.said("inference.receipt")[0].args["scene_bytes"] == content.index("\n\n") + 1

    def test_defaults_and_wishes_reach_the_engine(self, bench: Bench) -> None:
        bench.ready()
        bench.ask(1)
        run = bench.engine.run
        assert run is not None
        assert (run.max_tokens, run.time_budget_s) == (256, 600.0)
        finish(bench)
        bench.ask(2, max_tokens=7, time_budget_s=9, temperature=0.5, top_p=0.5, top_k=3, seed=4, thinking=True)
        run = bench.engine.run
        assert run is not None
        assert (run.max_tokens, run.time_budget_s, run.temperature, run.top_p) == (7, 9.0, 0.5, 0.5)
        assert (run.top_k, run.seed, run.thinking) == (3, 4, True)


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
