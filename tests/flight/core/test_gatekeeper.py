"""Core between engine and verifier: the leg CHECKING, verdicts and what a receipt says of them, losses and renewal."""

from __future__ import annotations

from typing import Any

import pytest

from flight.inference.protocol import Cancel
from tests.flight.core.bench import FOUND, Bench, finish, receipt, text_for, wishes

AGAIN = {"agrees": False, "reason": "tokens", "differs_at": 2, "expected": 7}


def steps(bench: Bench, request: bytes) -> list[str]:
    return [one.args["step"] for one in bench.said("verification.step", request_id=request)]


def test_an_answer_is_final_only_after_the_gates_word(held: Bench) -> None:
    """Its text has left, its receipt has not; then the verdict stands in it."""
    assert not held.said("inference.receipt")
    assert held.said("inference.segment")
    assert held.state(1) == "running"
    held.verifier.tell(held.now)
    word = receipt(held)
    assert (word["verdict"], word["verdict_reason"], word["gate"], word["rounds"]) == ("verified", "none", "replay", 1)
    assert (word["page_passes"], word["pass_age_ms"], word["assurance"]) == (1, 0, "full")
    assert held.state(1) == "done"


def test_checking_is_a_step_of_its_own(bench: Bench) -> None:
    bench.ready()
    request = bench.ask(1)
    finish(bench)
    assert steps(bench, request) == ["decode", "checking"]


def test_the_gate_is_asked_with_what_the_journal_says(held: Bench) -> None:
    """Question, tokens and hashes of one answer."""
    check = held.verifier.asked[0]
    assert [one.content for one in check.run.messages] == ["What?"]
    assert bytes(check.token_ids) == text_for(check.run)
    assert check.assurance == "full"
    assert not check.suspect


@pytest.mark.parametrize(
    ("asked", "verdict", "reason", "checks"),
    [
        ("none", "unchecked", "none", 0),
        ("pages", "unverified", "pages_only", 1),
        ("full", "verified", "none", 1),
        ("as_set", "verified", "none", 1),
    ],
)
def test_assurance_is_the_questions_choice(bench: Bench, asked: str, verdict: str, reason: str, checks: int) -> None:
    bench.ready()
    bench.ask(1, assurance=asked)
    finish(bench)
    word = receipt(bench)
    assert (word["verdict"], word["verdict_reason"], len(bench.verifier.asked)) == (verdict, reason, checks)


def test_a_question_that_leaves_it_open_gets_what_is_set(tmp_path: Any) -> None:
    bench = Bench(tmp_path, integrity={"assurance": "none"})
    bench.ready()
    bench.ask(1)
    finish(bench)
    assert (receipt(bench)["verdict"], receipt(bench)["assurance"]) == ("unchecked", "none")
    bench.close()


def test_what_the_gate_does_not_confirm_is_made_again_by_fresh_processes(bench: Bench) -> None:
    """The supervisor is asked to renew both; the same answer then counts, with all that happened in its receipt."""
    bench.ready()
    bench.verifier.word = AGAIN
    bench.ask(1)
    finish(bench)
    assert wishes(bench) == ["renew"]
    assert bench.events("inference.gate_disagreed") == [{"query_id": 1, "round": 1, "what": "tokens", "token": 2}]
    assert bench.engine.run is None, "nothing is handed to the engine that is about to go"
    bench.engine_lost()
    bench.verifier_lost()
    bench.verifier.word = {}
    bench.ready()
    assert bench.engine.run is not None
    finish(bench)
    word = receipt(bench)
    assert (word["verdict"], word["gate"], word["rounds"]) == ("verified", "rerun", 2)
    assert (word["engine_restarts"], word["verifier_restarts"], word["restarts"], word["attempt"]) == (1, 1, 1, 0)
    found = bench.journals[-1].find(1)
    assert found is not None
    assert found.failures == 0, "an engine that was renewed is not held against the query"


def test_other_text_after_a_fault_is_another_attempt(bench: Bench) -> None:
    """What ground had of the wrong answer is void."""
    bench.ready()
    bench.ask(1)
    right = bench.engine.text
    bench.engine.text = b"#" + right[1:]
    bench.verifier.word = {**AGAIN, "differs_at": 0, "expected": right[0]}
    finish(bench)
    bench.engine_lost()
    bench.verifier_lost()
    bench.verifier.word = {}
    bench.ready()
    finish(bench)
    word = receipt(bench)
    assert (word["verdict"], word["attempt"]) == ("verified", 1)
    assert bench.joined(1) == right


def test_after_its_rounds_it_leaves_unverified_and_says_so(bench: Bench) -> None:
    bench.ready()
    bench.verifier.word = AGAIN
    bench.ask(1)
    for _ in range(bench.settings.integrity.rounds):
        finish(bench)
        bench.engine_lost()
        bench.verifier_lost()
        bench.ready()
    word = receipt(bench)
    assert (word["outcome"], word["verdict"], word["verdict_reason"]) == ("done", "unverified", "gate_disagrees")
    assert bench.events("inference.released_unverified") == [{"query_id": 1, "reason": "gate_disagrees"}]


class TestLosses:
    """Whoever dies while an answer is checked, the query goes on."""

    def test_a_lost_verifier_is_asked_again_when_it_is_back(self, held: Bench) -> None:
        held.verifier_lost()
        assert not held.said("inference.receipt")
        held.verifier.holds = False
        held.verifier_ready()
        held.pump()
        assert len(held.verifier.asked) == 2
        word = receipt(held)
        assert (word["verdict"], word["verifier_restarts"], word["rounds"]) == ("verified", 1, 1)

    def test_the_engine_is_not_needed_any_more(self, held: Bench) -> None:
        held.engine_lost()
        held.verifier.tell(held.now)
        assert receipt(held)["verdict"] == "verified"

    def test_verifiers_that_are_lost_again_and_again_are_done_without(self, held: Bench) -> None:
        for _ in range(held.settings.integrity.verifier_losses):
            assert not held.said("inference.receipt")
            held.verifier_lost()
            held.verifier_ready()
            held.pump()
        assert (receipt(held)["verdict"], receipt(held)["verdict_reason"]) == ("unverified", "verifier_lost")

    def test_a_verifier_that_never_comes_is_waited_for_in_vain_only_so_long(self, bench: Bench) -> None:
        bench.core.runner.verifier_lost(bench.now)
        bench.ready()
        bench.core.runner.gate.facts = None
        bench.ask(1)
        finish(bench)
        assert not bench.said("inference.receipt")
        bench.time += bench.settings.integrity.verifier_wait_s + 1
        bench.pump()
        assert receipt(bench)["verdict_reason"] == "verifier_lost"

    def test_a_core_that_dies_while_checking_runs_it_again(self, held: Bench) -> None:
        held.crash()
        held.ready()
        assert held.engine.run is not None
        finish(held)
        word = receipt(held)
        assert (word["verdict"], word["restarts"], word["attempt"]) == ("verified", 1, 0)


class TestEnds:
    """A query that ends while its answer is checked."""

    def test_a_cancel_ends_it_at_once(self, held: Bench) -> None:
        held.command("inference.cancel", {"query_id": 1})
        word = receipt(held)
        assert (word["outcome"], word["verdict"]) == ("cancelled", "unchecked")
        held.verifier.tell(held.now)
        assert len(held.said("inference.receipt")) == 1, "the verifier's late word changes nothing"

    def test_the_verifier_is_told(self, held: Bench) -> None:
        run = held.core.runner.active
        assert run is not None
        held.core.runner._end_active("cancelled", held.now)
        assert [one for one in held.core.runner.gate.requests if isinstance(one, Cancel)] == [Cancel(id=run.hex_id)]

    def test_a_question_that_expires_while_it_is_checked_is_expired(self, bench: Bench) -> None:
        bench.ready()
        bench.verifier.holds = True
        bench.ask(1, ttl_s=60)
        finish(bench)
        bench.time += 61
        bench.pump()
        assert receipt(bench)["outcome"] == "expired"

    def test_the_next_query_waits_for_the_word(self, held: Bench) -> None:
        held.ask(2)
        assert held.engine.run is None
        held.verifier.tell(held.now)
        held.pump()
        assert held.engine.run is not None


class TestAnotherCore:
    """What a core that died had counted, nobody knows: nothing is built on its having found nothing."""

    def test_an_answer_that_outlived_core_is_settled_by_the_exact_re_run(self, bench: Bench) -> None:
        """Its checkpoint may be gone on from; its receipt counts the engine and the verifier that ended with core."""
        bench.ready()
        bench.ask(1)
        bench.core.protection.found(FOUND, bench.now)
        bench.crash()
        bench.ready()
        assert bench.engine.run is not None
        assert bench.engine.run.resume
        finish(bench)
        assert bench.verifier.asked[-1].suspect
        word = receipt(bench)
        assert (word["verdict"], word["gate"], word["found"], word["restarts"]) == ("verified", "rerun", 0, 1)
        assert (word["engine_restarts"], word["verifier_restarts"]) == (1, 1)

    def test_each_time_that_it_was_begun_anew_cost_an_engine(self, bench: Bench) -> None:
        bench.ready()
        bench.ask(1)
        bench.engine_lost()
        bench.ready()
        bench.crash()
        bench.ready()
        bench.engine_lost()
        bench.ready()
        finish(bench)
        word = receipt(bench)
        assert (word["engine_restarts"], word["restarts"]) == (3, 3)

    def test_damage_that_is_found_before_the_engine_is_back_counts(self, bench: Bench) -> None:
        """The engine may load over it, and the checkpoint may have come of it."""
        bench.ready()
        bench.ask(1)
        bench.crash()
        bench.core.protection.found(FOUND, bench.now)
        bench.ready()
        assert bench.engine.run is not None
        assert not bench.engine.run.resume
        finish(bench)
        assert (receipt(bench)["found"], receipt(bench)["gate"]) == (1, "rerun")

    def test_what_waited_meanwhile_is_not_suspect(self, bench: Bench) -> None:
        bench.ready()
        bench.ask(1)
        bench.ask(2)
        bench.crash()
        bench.ready()
        finish(bench)
        finish(bench)
        assert [check.suspect for check in bench.verifier.asked] == [True, False]
        assert [receipt(bench, query_id)["engine_restarts"] for query_id in (1, 2)] == [1, 0]

    def test_damage_from_before_a_query_is_not_its_own(self, bench: Bench) -> None:
        bench.ready()
        bench.core.protection.found(FOUND, bench.now)
        bench.ask(1)
        finish(bench)
        assert (receipt(bench)["found"], receipt(bench)["gate"]) == (0, "replay")


@pytest.mark.parametrize("why", ["engine lost", "damage", "gate"])
def test_no_checkpoint_is_gone_on_from_after_damage_or_a_no_of_the_gate(bench: Bench, why: str) -> None:
    """After an engine's loss alone it is."""
    bench.ready()
    bench.ask(1)
    if why == "damage":
        bench.core.protection.found(FOUND, bench.now)
    if why == "gate":
        bench.verifier.word = AGAIN
        finish(bench)
        bench.verifier_lost()
    bench.engine_lost()
    bench.ready()
    assert bench.engine.run is not None
    assert bench.engine.run.resume == (why == "engine lost")


def test_engine_and_verifier_are_renewed_every_so_many_answers(tmp_path: Any) -> None:
    """Between two queries, and the next one waits for the fresh engine."""
    bench = Bench(tmp_path, integrity={"renew_answers": 2})
    bench.ready()
    for query_id in (1, 2, 3):
        bench.ask(query_id)
    finish(bench)
    assert wishes(bench) == []
    finish(bench)
    assert wishes(bench) == ["renew"]
    assert bench.engine.run is None
    bench.engine_lost()
    bench.verifier_lost()
    bench.ready()
    assert bench.engine.run is not None
    finish(bench)
    assert [receipt(bench, query_id)["restarts"] for query_id in (1, 2, 3)] == [0, 0, 0]
    bench.close()


def test_a_wish_that_the_supervisor_did_not_hear_is_said_again(bench: Bench) -> None:
    """Until a fresh engine is there; then no more."""
    bench.ready()
    bench.verifier.word = AGAIN
    bench.ask(1)
    finish(bench)
    bench.time += 31
    bench.pump()
    assert wishes(bench) == ["renew", "renew"]
    bench.engine_lost()
    bench.ready()
    bench.time += 100
    bench.pump()
    assert wishes(bench) == ["renew", "renew"]


def test_energy_that_nobody_measured_is_unknown_and_not_zero(bench: Bench) -> None:
    bench.ready()
    bench.ask(1)
    finish(bench)
    stored = bench.journals[-1].find(1)
    assert stored is not None
    assert stored.receipt is not None
    assert (stored.receipt["energy_j"], stored.receipt["energy_source"]) == (None, "none")
