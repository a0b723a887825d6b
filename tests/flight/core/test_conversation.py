"""What the engine is given: what was said before, scenes of live telemetry, wishes and defaults."""

from __future__ import annotations

import hashlib
import json

from models.prompt import user_message
from tests.flight.core.bench import EPOCH, Bench, finish, messages, scene


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
