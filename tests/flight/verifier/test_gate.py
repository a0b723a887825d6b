"""The gate over a real model: clean answers pass, and nothing else does."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import llama_cpp
import numpy as np
import pytest

from flight.verifier.gate import Gate
from flight.verifier.protocol import Check
from flight.verifier.replay import Replay
from flight.verifier.self_test import self_test
from models.corpus import held_out_cases
from tests.flight.verifier.rig import Rig, run_for

STYLES: list[dict[str, Any]] = [
    {},
    {"temperature": 0.8},
    {"temperature": 0.9, "top_p": 0.9, "top_k": 40},
    {"temperature": 2.0, "max_tokens": 90},
    {"thinking": True},
]


@pytest.fixture
def other_gate(rig: Rig) -> Iterator[Callable[..., Gate]]:
    """Gates with something switched off."""
    made: list[Gate] = []

    def make(**changes: Any) -> Gate:
        made.append(rig.other_gate(**changes))
        return made[-1]

    yield make
    for gate in made:
        gate.close()


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES, ids=["greedy", "sampled", "top-k and top-p", "hot", "thinking"])
def test_clean_answers_are_never_doubted(rig: Rig, style: dict[str, Any]) -> None:
    """No false alarm over forty answers in each style, questions as cadet's own examination asks them."""
    hows = set()
    for number, case in enumerate(held_out_cases(40, seed=5)):
        checked = rig.gate.check(rig.answer(run_for(case.user, seed=number, **style)))
        assert checked.agrees, checked
        assert (checked.findings, checked.reason, checked.differs_at) == ((), "", None)
        hows.add(checked.how)
    assert "replay" in hows or style.get("temperature", 0) > 1


FORGERIES: dict[str, tuple[Callable[[Rig, Check], Check], str]] = {
    "another token": (lambda r, c: r.told(c.run, [c.token_ids[0] + 1, *c.token_ids[1:]], c.stop), "tokens"),
    "another last token": (lambda r, c: r.told(c.run, [*c.token_ids[:-1], c.token_ids[-1] + 1], c.stop), "tokens"),
    "a token too many": (lambda r, c: r.told(c.run, [*c.token_ids, c.token_ids[0]], c.stop), "tokens"),
    "an end too early": (lambda r, c: r.told(c.run, list(c.token_ids[:-3]), "eos"), "tokens"),
    "no token at all": (lambda r, c: r.told(c.run, [], "eos"), "tokens"),
    "an end passed over": (lambda r, c: r.told(c.run, [*c.token_ids, 300, 301], "time"), "tokens"),
    "a length that is none": (lambda r, c: c.model_copy(update={"stop": "length"}), "stop"),
    "more than was asked": (
        lambda r, c: c.model_copy(update={"run": c.run.model_copy(update={"max_tokens": 5})}),
        "stop",
    ),
    "other text": (lambda r, c: c.model_copy(update={"answer_sha256": "0" * 64}), "text"),
    "other thinking": (lambda r, c: c.model_copy(update={"thinking_sha256": "0" * 64}), "text"),
    "another prompt": (lambda r, c: c.model_copy(update={"prompt_sha256": "0" * 64}), "prompt"),
    "another question": (lambda r, c: c.model_copy(update={"run": run_for("Which vessels are fast?")}), "prompt"),
    "a token beyond the vocabulary": (lambda r, c: c.model_copy(update={"token_ids": (1 << 20,)}), "tokens"),
    "an end inside": (lambda r, c: c.model_copy(update={"token_ids": (*c.token_ids, _end(r))}), "tokens"),
}


def _end(rig: Rig) -> int:
    return next(token for token in range(rig.maker.vocabulary.size) if rig.maker.vocabulary.ends(token))


@pytest.mark.parametrize("name", FORGERIES)
def test_an_engine_that_lies_is_not_believed(rig: Rig, name: str) -> None:
    """Whatever of its word is wrong: the gate names it."""
    forge, reason = FORGERIES[name]
    checked = rig.gate.check(forge(rig, rig.answer(run_for())))
    assert (checked.agrees, checked.reason) == (False, reason)


def test_a_wrong_draw_is_found(rig: Rig) -> None:
    """A sampled answer under another seed than the one that was asked for."""
    check = rig.answer(run_for(temperature=5.0, seed=3, max_tokens=30))
    lie = check.model_copy(update={"run": run_for(temperature=5.0, seed=4, max_tokens=30)})
    assert rig.gate.check(check).agrees
    assert rig.gate.check(lie).reason == "tokens"


@pytest.mark.parametrize("stop", ["time", "length"])
def test_an_answer_that_was_cut_off_is_checked_as_far_as_it_goes(rig: Rig, stop: str) -> None:
    whole = rig.answer(run_for())
    count = 9
    run = run_for(max_tokens=count if stop == "length" else 60)
    assert rig.gate.check(rig.told(run, list(whole.token_ids[:count]), stop)).agrees
    wrong = [*whole.token_ids[: count - 1], whole.token_ids[count - 1] + 1]
    checked = rig.gate.check(rig.told(run, wrong, stop))
    assert (checked.agrees, checked.differs_at) == (False, count - 1)


def test_an_answer_of_nothing_that_the_clock_cut_off_has_nothing_to_check(rig: Rig) -> None:
    assert rig.gate.check(rig.told(run_for(), [], "time")).agrees


def test_an_answer_that_the_clock_cut_off_before_its_prompt_was_read_is_no_disagreement(rig: Rig) -> None:
    """The engine has told no hash of the prompt then; with a token, or with another hash, that is no excuse."""
    untold = {"prompt_sha256": "0" * 64}
    nothing = rig.told(run_for(), [], "time").model_copy(update=untold)
    assert rig.gate.check(nothing).agrees
    assert rig.gate.check(nothing.model_copy(update={"prompt_sha256": "1" * 64})).reason == "prompt"
    assert rig.gate.check(nothing.model_copy(update={"stop": "eos"})).reason == "prompt"
    clean = rig.answer(run_for())
    begun = rig.told(clean.run, list(clean.token_ids[:3]), "time")
    assert rig.gate.check(begun.model_copy(update=untold)).reason == "prompt"


def test_thinking_counts_as_much_as_the_answer(rig: Rig) -> None:
    """A token of the thinking text is checked, and its hash."""
    check = rig.answer(run_for(thinking=True))
    assert rig.gate.check(check).agrees
    assert not rig.gate.check(rig.told(check.run, [check.token_ids[0] + 1, *check.token_ids[1:]], check.stop)).agrees


class TestDamage:
    """Faults, as radiation sets them, on either side of the pass."""

    def test_a_flip_that_is_still_there_is_repaired_and_its_answer_refused(self, rig: Rig) -> None:
        clean = rig.answer(run_for())
        rig.damage()
        wrong = rig.answer(run_for())
        assert wrong.token_ids != clean.token_ids, "the damage must act"
        checked = rig.gate.check(wrong)
        assert (checked.agrees, checked.reason, checked.how) == (False, "tokens", "rerun")
        assert [found.outcome for found in checked.findings] == ["bit"]
        assert checked.expected == clean.token_ids[checked.differs_at or 0], "what the clean model chooses there"
        assert rig.gate.check(clean).agrees

    def test_whatever_is_found_asks_for_the_exact_re_run_of_the_whole_answer(self, rig: Rig) -> None:
        """Even where the replay confirms the answer with a wide margin."""
        clean = rig.answer(run_for())
        rig.flip("blk.2.ffn_down.weight", at=2, bit=0)
        steps: list[int] = []
        checked = rig.gate.check(clean, lambda step, _done, total: steps.append(total) if step == "rerun" else None)
        assert (checked.agrees, checked.how, checked.near_ties) == (True, "rerun", 0)
        assert set(steps) == {len(clean.token_ids) + 1}

    def test_without_the_page_pass_the_same_damage_confirms_itself(
        self, rig: Rig, other_gate: Callable[..., Gate]
    ) -> None:
        """Protection off: both compute with the same wrong weight, so pages are what makes the replay a witness."""
        clean = rig.answer(run_for())
        rig.damage()
        wrong = rig.answer(run_for())
        assert wrong.token_ids != clean.token_ids
        assert other_gate(pages=False).check(wrong).agrees

    def test_without_the_replay_an_answer_of_damage_that_healed_passes(
        self, rig: Rig, other_gate: Callable[..., Gate]
    ) -> None:
        """Protection off: the pages are whole again when they are looked at."""
        rig.damage()
        wrong = rig.answer(run_for())
        rig.damage()
        assert other_gate(replay=False).check(wrong).agrees
        assert not rig.gate.check(wrong).agrees

    def test_without_repair_what_is_damaged_is_told_and_not_passed(
        self, rig: Rig, other_gate: Callable[..., Gate]
    ) -> None:
        clean = rig.answer(run_for())
        rig.damage()
        checked = other_gate(repair=False).check(clean)
        assert (checked.agrees, checked.reason, checked.how) == (False, "unrepaired", "pages")

    def test_a_flip_that_heals_before_the_pass_is_no_finding_and_still_no_pass(self, rig: Rig) -> None:
        rig.damage()
        wrong = rig.answer(run_for())
        rig.damage()  # flips it back
        checked = rig.gate.check(wrong)
        assert (checked.agrees, checked.findings, checked.how) == (False, (), "rerun")

    @pytest.mark.parametrize("step", ["pages", "replay"])
    def test_a_flip_between_pass_and_replay_does_not_condemn_a_right_answer(self, rig: Rig, step: str) -> None:
        """It spoils the replay; the second pass repairs it, and the exact re-run confirms the answer."""
        clean = rig.answer(run_for())
        struck = []

        def strike(at: str, done: int, total: int) -> None:
            last = done == total if step == "pages" else done == 0
            if at == step and last and not struck:
                struck.append(at)
                rig.damage()

        checked = rig.gate.check(clean, strike)
        assert struck
        assert (checked.agrees, checked.how, checked.passes) == (True, "rerun", 3)
        assert [found.outcome for found in checked.findings] == ["bit"]

    def test_a_cell_that_lets_go_of_every_repair_never_gets_its_answer_confirmed(self, rig: Rig) -> None:
        """It is right when it is read back and wrong soon after: a campaign's stuck bit found that gap."""
        rig.damage()
        wrong = rig.answer(run_for())

        def let_go(at: str, done: int, total: int) -> None:
            if at == "pages" and done == total:
                rig.damage()

        checked = rig.gate.check(wrong, let_go)
        assert (checked.agrees, checked.reason, checked.passes) == (False, "unrepaired", 3)
        assert len(checked.findings) == 3
        assert rig.gate.guard is not None
        rig.gate.guard.full_pass()

    def test_parity_that_cannot_be_repaired_has_nothing_to_do_with_an_answer(self, rig: Rig) -> None:
        """A stuck cell in a parity page: told on every pass, and neither doubted for it nor computed again."""
        clean = rig.answer(run_for())
        guard = rig.gate.guard
        assert guard is not None

        def let_go(at: str, done: int, total: int) -> None:
            if at == "pages" and done == 0:
                guard.ladder.parity.view[17] ^= 4

        try:
            checked = rig.gate.check(clean, let_go)
            stuck = guard.ladder.tell([], [0], "it is stuck")
        finally:
            guard.full_pass()
        assert [found.part for found in checked.findings] == ["parity"]
        assert (checked.agrees, checked.how, checked.passes) == (True, "replay", 1)
        assert [(one.repaired, one.acts) for one in stuck] == [(False, False)]

    def test_what_only_the_second_pass_finds_asks_for_the_whole_answer_too(
        self, rig: Rig, other_gate: Callable[..., Gate]
    ) -> None:
        """The replay computed with it: what it confirmed behind the last near tie is not confirmed."""
        clean = rig.answer(run_for())
        least = rig.gate.check(clean).least_margin
        assert least is not None
        gate = other_gate(margin=float(np.nextafter(least, np.inf)))
        steps: list[int] = []

        def note(step: str, _done: int, total: int) -> None:
            if step == "rerun":
                steps.append(total)

        def strike(step: str, done: int, total: int) -> None:
            note(step, done, total)
            if step == "replay" and done == total:
                rig.flip("blk.2.ffn_down.weight", at=2, bit=0)

        assert gate.check(clean, note).agrees
        assert max(steps) < len(clean.token_ids) + 1, "the near tie is not the last position"
        steps.clear()
        checked = gate.check(clean, strike)
        assert (checked.agrees, checked.how, checked.passes) == (True, "rerun", 3)
        assert set(steps) == {len(clean.token_ids) + 1}

    def test_a_flip_during_the_re_run_is_a_disagreement_and_never_a_pass(self, rig: Rig) -> None:
        clean = rig.answer(run_for()).model_copy(update={"suspect": True})
        struck: list[int] = []

        def strike(at: str, done: int, _total: int) -> None:
            if at == "rerun" and done == 5:
                struck.append(done)
                rig.damage()

        assert not rig.gate.check(clean, strike).agrees
        assert struck == [5]
        assert rig.gate.check(clean).agrees, "the next pass repairs it"

    def test_damage_of_the_engines_kv_cache_is_found(self, rig: Rig) -> None:
        """Values of earlier tokens are overwritten in the middle of the answer."""
        clean = rig.answer(run_for())

        def poison(tokens: int) -> None:
            if tokens == 8:
                size = llama_cpp.llama_state_seq_get_size(rig.decoder.handle, 0)
                buffer = (ctypes.c_uint8 * size)()
                llama_cpp.llama_state_seq_get_data(rig.decoder.handle, buffer, size, 0)
                state = np.frombuffer(buffer, np.uint8)
                state[-30_000:] = 0x50  # values of the last layer, which end the state
                llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(rig.decoder.handle), True)
                assert llama_cpp.llama_state_seq_set_data(rig.decoder.handle, buffer, size, 0) == size

        wrong = rig.answer(run_for(), poison)
        assert wrong.token_ids != clean.token_ids, "the damage must act"
        assert wrong.token_ids[:8] == clean.token_ids[:8]
        checked = rig.gate.check(wrong)
        assert (checked.agrees, checked.reason) == (False, "tokens")
        assert (checked.differs_at or 0) >= 8

    def test_damage_of_the_engines_vocabulary_is_found(self, rig: Rig) -> None:
        """The tokens are right and the text is not."""
        pieces = rig.maker.vocabulary._pieces
        token = rig.answer(run_for()).token_ids[2]
        before = pieces[token]
        pieces[token] = before + b"!"
        try:
            checked = rig.gate.check(rig.answer(run_for()))
        finally:
            pieces[token] = before
        assert (checked.agrees, checked.reason) == (False, "text")

    def test_logits_that_are_not_finite_are_a_fault_of_the_verifier(
        self, rig: Rig, other_gate: Callable[..., Gate]
    ) -> None:
        """Infinity in the norm before the output: no word on the answer."""
        clean = rig.answer(run_for())
        before = rig.write("output_norm.weight", np.float32(np.inf).tobytes())
        checked = other_gate(pages=False).check(clean)
        rig.write("output_norm.weight", before)
        assert (checked.agrees, checked.reason) == (False, "numeric_fault")
        assert rig.gate.check(clean).agrees, "nothing of it stays in the cleared memory"


class TestNearTies:
    """Below the margin the exact re-run decides, and only as far as it must."""

    def test_below_the_margin_the_exact_re_run_decides(self, rig: Rig, other_gate: Callable[..., Gate]) -> None:
        gate = other_gate(margin=1e9)
        clean = rig.answer(run_for())
        checked = gate.check(clean)
        assert (checked.agrees, checked.how, checked.passes) == (True, "rerun", 2)
        assert checked.near_ties == len(clean.token_ids) + 1
        wrong = rig.told(clean.run, [*clean.token_ids[:-1], clean.token_ids[-1] + 1], clean.stop)
        assert gate.check(wrong).differs_at == len(clean.token_ids) - 1

    def test_without_the_margin_a_wrong_token_that_rounding_favours_passes(
        self, rig: Rig, other_gate: Callable[..., Gate], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A fault turned the engine's closest choice, and batches round by as much, alike: only the margin sees it."""
        run, rows, seen = run_for(), Replay.rows, []

        def watched(*arguments: Any) -> Iterator[tuple[int, Any]]:
            for first, some in rows(*arguments):
                seen.append(some.copy())
                yield first, some

        clean = rig.answer(run)
        with monkeypatch.context() as patch:
            patch.setattr(Replay, "rows", watched)
            assert rig.gate.check(clean).agrees
        logits = np.concatenate(seen)[: len(clean.token_ids)]
        order = np.argsort(logits, axis=1)[:, -2:]
        second, best = (np.take_along_axis(logits, order[:, [place]], 1)[:, 0] for place in (0, 1))
        ends = np.array([rig.maker.vocabulary.ends(int(token)) for token in order[:, 0]])
        position = int(np.argmin(np.where(ends, np.inf, best - second)))
        gap, other = float(best[position] - second[position]), int(order[position, 0])
        wrong = rig.answer(run, forced={position: other})
        assert wrong.token_ids != clean.token_ids

        def rounded(*arguments: Any) -> Iterator[tuple[int, Any]]:
            for first, some in rows(*arguments):
                moved = some.copy()
                if first <= position < first + len(moved):
                    moved[position - first, other] += gap + 0.01
                yield first, moved

        monkeypatch.setattr(Replay, "rows", rounded)
        assert other_gate(margin=1e-9).check(wrong).agrees
        checked = other_gate(margin=2 * (gap + 0.01)).check(wrong)
        assert (checked.agrees, checked.how, checked.reason) == (False, "rerun", "tokens")
        assert checked.differs_at == position

    def test_it_goes_no_further_than_the_last_near_tie(self, rig: Rig, other_gate: Callable[..., Gate]) -> None:
        """What comes after is confirmed by the replay already."""
        check = rig.answer(run_for())
        least = rig.gate.check(check).least_margin
        assert least is not None
        seen: list[int] = []
        checked = other_gate(margin=float(np.nextafter(least, np.inf))).check(
            check, lambda step, _done, total: seen.append(total) if step == "rerun" else None
        )
        assert (checked.agrees, checked.how, checked.near_ties) == (True, "rerun", 1)
        assert max(seen) <= len(check.token_ids) + 1
        whole = rig.gate.check(check.model_copy(update={"suspect": True}))
        assert (whole.how, whole.agrees) == ("rerun", True)

    def test_the_margin_is_the_manifests_unless_it_is_set(self, rig: Rig, other_gate: Callable[..., Gate]) -> None:
        calibrated = rig.guard.manifest.margin
        assert other_gate(margin=0.7).margin == 0.7
        assert other_gate(margin=0.0).margin == (calibrated or rig.settings.uncalibrated)


def test_the_self_test_passes_and_notices_a_gate_that_agrees_with_everything(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert self_test(rig.gate)
    monkeypatch.setattr(Gate, "_is_next", lambda *_: True)
    assert not self_test(rig.gate)


def test_pages_only_looks_at_pages_only(rig: Rig) -> None:
    """And says so."""
    check = rig.answer(run_for()).model_copy(update={"assurance": "pages", "token_ids": (1, 2, 3)})
    checked = rig.gate.check(check)
    assert (checked.agrees, checked.how, checked.pages) == (True, "pages", rig.guard.pages)


def test_a_check_tells_how_far_it_is(rig: Rig) -> None:
    """Every step from nothing to its end: the heartbeat of the verifier."""
    told: dict[str, list[tuple[int, int]]] = {}
    check = rig.answer(run_for()).model_copy(update={"suspect": True})
    rig.gate.check(check, lambda step, done, total: told.setdefault(step, []).append((done, total)))
    assert set(told) == {"pages", "replay", "rerun"}
    for steps in told.values():
        assert steps[0][0] == 0
        assert steps[-1][0] == steps[-1][1] > 0
