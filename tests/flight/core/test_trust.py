"""Core trusts neither its own memory, nor a scrubber that is blind: what is VERIFIED is what was compared."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from flight.core.gatekeeper import Gatekeeper
from flight.inference.protocol import Ready
from tests.flight.core.bench import FACTS, FOUND, Bench, finish, receipt, wishes


def test_a_text_that_changed_in_core_after_the_check_is_not_verified(held: Bench) -> None:
    run = held.core.runner.active
    assert run is not None
    run.drafts["answer"]._text[3] ^= 4
    held.verifier.tell(held.now)
    assert (receipt(held)["verdict"], receipt(held)["verdict_reason"]) == ("unverified", "self_check")


def test_what_is_signed_is_the_hash_that_was_compared(held: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flip in the text behind the comparison leaves a receipt of the right text, which ground's does not fit."""
    right = held.verifier.asked[0].answer_sha256
    compared = Gatekeeper.proof

    def flips(gate: Gatekeeper, run: Any, texts: Any, *rest: Any) -> Any:
        proof = compared(gate, run, texts, *rest)
        object.__setattr__(texts, "answer", texts.answer[:-1] + b"?")
        return proof

    monkeypatch.setattr(Gatekeeper, "proof", flips)
    held.verifier.tell(held.now)
    assert (receipt(held)["verdict"], receipt(held)["answer_sha256"].hex()) == ("verified", right)


def test_a_verifier_over_another_model_verifies_nothing(held: Bench) -> None:
    """The slot changed while the answer waited: its receipt names the model that made it."""
    held.verifier_lost()
    other = FACTS.model_copy(update={"sha256": "ef" * 32})
    held.core.runner.verifier_indication(Ready(model=other), held.now)
    held.pump()
    held.verifier.tell(held.now)
    assert (receipt(held)["verdict"], receipt(held)["verdict_reason"]) == ("unverified", "self_check")


def test_an_answer_that_ends_before_its_time_was_up_is_made_again(bench: Bench) -> None:
    """By the engine's own figures: its clock or its deadline was hit, and a beginning is not the answer."""
    bench.ready()
    bench.ask(1, time_budget_s=60)
    bench.engine.finish(bench.now, "time")
    assert not bench.verifier.asked
    bench.pump()
    finish(bench)
    word = receipt(bench)
    assert (word["verdict"], word["stop"], word["restarts"]) == ("verified", "eos", 1)


@pytest.mark.parametrize(
    "other",
    [
        [("system", "Be brief."), ("user", "First?"), ("assistant", "{answer}"), ("user", "Evil?")],
        [("system", "Be evil."), ("user", "First?"), ("assistant", "{answer}"), ("user", "What?")],
        [("system", "Be brief."), ("user", "First?"), ("assistant", "Evil."), ("user", "What?")],
        [("user", "First?"), ("assistant", "{answer}"), ("user", "What?")],
        None,
    ],
)
def test_messages_that_are_not_those_of_the_journal_are_not_answered(
    bench: Bench, other: list[tuple[str, str]] | None
) -> None:
    """With a hash of their own, but not of question, system text and parent beside them."""
    bench.ready()
    bench.ask(1, "First?", system="Be brief.")
    finish(bench)
    bench.ask(2, "What?", parent=1)
    run = bench.core.runner.active
    assert run is not None
    assert run.query.messages is not None
    if other is not None:
        answer = bench.joined(1).decode()
        said = [{"role": role, "content": text.replace("{answer}", answer)} for role, text in other]
        data = json.dumps(said, separators=(",", ":")).encode()
        sha256 = hashlib.sha256(data).digest()
        bench.journals[-1].start(run.query, data, sha256, None, bench.now.mission)
    bench.verifier.asked.clear()
    bench.engine.finish(bench.now)
    assert receipt(bench, 2)["reason"] == ("state_damaged" if other is not None else "none")
    assert bool(bench.verifier.asked) == (other is None)


def test_damage_that_was_found_meanwhile_asks_for_the_exact_re_run(bench: Bench) -> None:
    bench.ready()
    bench.ask(1)
    bench.core.protection.found(FOUND, bench.now)
    finish(bench)
    assert bench.verifier.asked[-1].suspect
    word = receipt(bench)
    assert (word["found"], word["repaired_bit"], word["gate"]) == (1, 1, "rerun")


def test_damage_that_the_gate_found_is_told_and_counted(bench: Bench) -> None:
    bench.ready()
    bench.verifier.word = {"findings": [FOUND.model_dump(by_alias=True)], "how": "rerun"}
    bench.ask(1)
    finish(bench)
    assert (receipt(bench)["found"], receipt(bench)["repaired_bit"]) == (1, 1)
    assert [event["page"] for event in bench.events("integrity.damage_found")] == [3]


def test_damage_that_the_gate_met_while_it_loaded_is_told_and_counted(bench: Bench) -> None:
    """The answer in the making was computed over it: the exact re-run decides. No verifier is started anew."""
    bench.ready()
    bench.ask(1)
    bench.core.runner.verifier_indication(FOUND, bench.now)
    finish(bench)
    assert bench.verifier.asked[-1].suspect
    assert (receipt(bench)["found"], receipt(bench)["repaired_bit"]) == (1, 1)
    assert [event["page"] for event in bench.events("integrity.damage_found")] == [3]
    assert wishes(bench) == []


def test_a_scrubber_that_is_blind_leaves_nothing_verified(bench: Bench) -> None:
    bench.ready()
    bench.core.runner.custody.blind = True
    bench.ask(1)
    finish(bench)
    assert (receipt(bench)["verdict"], receipt(bench)["verdict_reason"]) == ("unverified", "self_check")


def test_an_offloaded_answer_is_never_verified(bench: Bench) -> None:
    """And its receipt says how much lies outside the image."""
    bench.ready()
    bench.core.runner.facts = FACTS.model_copy(update={"gpu_layers": 12, "outside_bytes": 5_000_000})
    bench.ask(1)
    finish(bench)
    word = receipt(bench)
    assert (word["verdict"], word["verdict_reason"], word["gate"]) == ("unverified", "offloaded", "pages")
    assert (word["gpu_layers"], word["outside_bytes"]) == (12, 5_000_000)
