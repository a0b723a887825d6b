"""What core refuses, and how it says so."""

from __future__ import annotations

from pathlib import Path

from flight.settings import StoreSettings
from tests.flight.core.bench import Bench, finish, scene


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
        bench.journals[-1]._main.db.execute("PRAGMA query_only = 1")
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
